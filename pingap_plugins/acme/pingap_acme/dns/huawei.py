"""Huawei Cloud DNS (https://support.huaweicloud.com/intl/en-us/api-dns, version 2)."""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote, urlsplit

from pingap_acme.dns.api import call
from pingap_acme.dns.provider import DnsError, base_of, parameters, parents

_TTL: Final = 300


class Huawei:
    """``https://dns.<region>.myhuaweicloud.com?access_key_id=...&access_key_secret=...``."""

    def __init__(self, url: str) -> None:
        found = parameters(url, "access_key_id", "access_key_secret")
        self._id, self._secret = found["access_key_id"], found["access_key_secret"]
        self._base = base_of(url, "")
        if not self._base:
            raise ValueError("dns_service_url: the host with the region is missing")

    def add(self, name: str, value: str) -> None:
        """Add a value to the record set, which has all values of a name."""
        zone = self._zone(name)
        found = self._record_set(zone, name)
        values = [*(found["records"] if found else ()), f'"{value}"']
        self._put(zone, name, found, list(dict.fromkeys(values)))

    def remove(self, name: str, value: str) -> None:
        """Remove a value from the record set."""
        zone = self._zone(name)
        found = self._record_set(zone, name)
        if found is not None:
            rest = [one for one in found["records"] if one.strip('"') != value]
            self._put(zone, name, found, rest)

    def _put(self, zone: str, name: str, found: dict[str, Any] | None, values: list[str]) -> None:
        path = f"/v2/zones/{zone}/recordsets"
        body = {"name": f"{name}.", "type": "TXT", "ttl": _TTL, "records": values}
        if found is None:
            self._call("POST", path, body=body)
        elif values:
            self._call("PUT", f"{path}/{found['id']}", body=body)
        else:
            self._call("DELETE", f"{path}/{found['id']}")

    def _record_set(self, zone: str, name: str) -> dict[str, Any] | None:
        query = {"name": f"{name}.", "type": "TXT"}
        found = self._call("GET", f"/v2/zones/{zone}/recordsets", query).get("recordsets", [])
        return next((one for one in found if one["name"] == f"{name}."), None)

    def _zone(self, name: str) -> str:
        for zone in parents(name):
            for one in self._call("GET", "/v2/zones", {"name": zone}).get("zones", []):
                if one["name"] == f"{zone}.":  # the service searches for parts of names
                    return str(one["id"])
        raise DnsError(f"Huawei Cloud has no zone for {name}")

    def _call(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        text = json.dumps(body) if body is not None else ""
        date = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        host = urlsplit(self._base).netloc
        query_text = canonical_query(query or {})
        headers = {
            "X-Sdk-Date": date,
            "Content-Type": "application/json",
            "Authorization": authorization(
                self._id, self._secret, (method, path, query_text, host, text), date
            ),
        }
        url = f"{self._base}{path}{'?' if query_text else ''}{query_text}"
        return call(method, url, headers=headers, data=text.encode())


def canonical_query(query: dict[str, str]) -> str:
    """Return parameters as they are signed."""
    return "&".join(
        f"{quote(key, safe='~')}={quote(query[key], safe='~')}" for key in sorted(query)
    )


def authorization(
    key_id: str, secret: str, request: tuple[str, str, str, str, str], date: str
) -> str:
    """Sign a request (SDK-HMAC-SHA256).

    :param request: method, path, canonical query, host and body.
    """
    method, path, query, host, body = request
    signed = "content-type;host;x-sdk-date"
    headers = f"content-type:application/json\nhost:{host}\nx-sdk-date:{date}\n"
    digest = sha256(body.encode()).hexdigest()
    canonical = "\n".join((method, f"{path.rstrip('/')}/", query, headers, signed, digest))
    text = "\n".join(("SDK-HMAC-SHA256", date, sha256(canonical.encode()).hexdigest()))
    signature = hmac.digest(secret.encode(), text.encode(), "sha256").hex()
    return f"SDK-HMAC-SHA256 Access={key_id}, SignedHeaders={signed}, Signature={signature}"
