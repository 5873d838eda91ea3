"""DNSPod of Tencent Cloud (https://www.tencentcloud.com/document/api/1157, version 2021-03-23)."""

from __future__ import annotations

import hmac
import json
import time
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

from pingap_acme.dns.api import call
from pingap_acme.dns.provider import DnsError, base_of, parameters, parents

_LINE: Final = "\u9ed8\u8ba4"
"""The default line of DNSPod, which has no other name."""
_TTL: Final = 600
_SERVICE: Final = "dnspod"
_NO_ZONE: Final = ("InvalidParameterValue", "InvalidParameter.DomainInvalid", "ResourceNotFound")
"""Codes of the answers for names that are no zone of this account."""


class Tencent:
    """``https://dnspod.tencentcloudapi.com?access_key_id=...&access_key_secret=...``."""

    def __init__(self, url: str) -> None:
        found = parameters(url, "access_key_id", "access_key_secret")
        self._id, self._secret = found["access_key_id"], found["access_key_secret"]
        self._base = base_of(url, "https://dnspod.tencentcloudapi.com")

    def add(self, name: str, value: str) -> None:
        """Add a record."""
        zone, host = self._zone(name)
        self._call(
            "CreateRecord",
            Domain=zone,
            SubDomain=host,
            RecordType="TXT",
            RecordLine=_LINE,
            Value=value,
            TTL=_TTL,
        )

    def remove(self, name: str, value: str) -> None:
        """Remove a record."""
        zone, host = self._zone(name)
        try:
            found = self._call("DescribeRecordList", Domain=zone, Subdomain=host, RecordType="TXT")
        except DnsError as error:
            if "NoDataOfRecord" in str(error):
                return
            raise
        for one in found["RecordList"]:
            if one["Value"] == value:
                self._call("DeleteRecord", Domain=zone, RecordId=one["RecordId"])

    def _zone(self, name: str) -> tuple[str, str]:
        """Return the zone of a name, and the rest of the name."""
        for zone in parents(name):
            try:
                self._call("DescribeDomain", Domain=zone)
            except DnsError as error:
                if any(code in str(error) for code in _NO_ZONE):
                    continue
                raise
            return zone, name.removesuffix(zone).rstrip(".")
        raise DnsError(f"DNSPod has no zone for {name}")

    def _call(self, action: str, **body: Any) -> dict[str, Any]:
        payload = json.dumps(body)
        now = int(time.time())
        headers = {
            "Authorization": authorization(
                self._id, self._secret, urlsplit(self._base).netloc, payload, now
            ),
            "Content-Type": "application/json",
            "X-TC-Action": action,
            "X-TC-Version": "2021-03-23",
            "X-TC-Timestamp": str(now),
        }
        found = call("POST", self._base, headers=headers, data=payload.encode()).get("Response", {})
        if "Error" in found:
            error = found["Error"]
            raise DnsError(f"DNSPod: {error.get('Code')}: {error.get('Message')}")
        return dict(found)


def authorization(key_id: str, secret: str, host: str, payload: str, now: int) -> str:
    """Sign a request (signature method TC3-HMAC-SHA256).

    :param now: Unix time.
    """
    day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    scope = f"{day}/{_SERVICE}/tc3_request"
    signed = "content-type;host"
    canonical = "\n".join(
        (
            "POST",
            "/",
            "",
            f"content-type:application/json\nhost:{host}\n",
            signed,
            sha256(payload.encode()).hexdigest(),
        )
    )
    text = "\n".join(("TC3-HMAC-SHA256", str(now), scope, sha256(canonical.encode()).hexdigest()))
    key = f"TC3{secret}".encode()
    for part in (day, _SERVICE, "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return f"TC3-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={signed}, Signature={signature}"
