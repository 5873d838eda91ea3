"""Alibaba Cloud DNS (https://www.alibabacloud.com/help/en/dns, version 2015-01-09)."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from pingap_acme.dns.api import call
from pingap_acme.dns.provider import DnsError, base_of, parameters, parents


class Aliyun:
    """``https://alidns.aliyuncs.com?access_key_id=...&access_key_secret=...``."""

    def __init__(self, url: str) -> None:
        found = parameters(url, "access_key_id", "access_key_secret")
        self._id, self._secret = found["access_key_id"], found["access_key_secret"]
        self._base = base_of(url, "https://alidns.aliyuncs.com")

    def add(self, name: str, value: str) -> None:
        """Add a record."""
        zone, host = self._zone(name)
        self._call("AddDomainRecord", DomainName=zone, RR=host, Type="TXT", Value=value)

    def remove(self, name: str, value: str) -> None:
        """Remove a record."""
        zone, host = self._zone(name)
        found = self._call(
            "DescribeDomainRecords", DomainName=zone, RRKeyWord=host, Type="TXT", PageSize="500"
        )
        for one in found["DomainRecords"]["Record"]:
            if one["RR"] == host and one["Value"] == value:
                self._call("DeleteDomainRecord", RecordId=one["RecordId"])

    def _zone(self, name: str) -> tuple[str, str]:
        """Return the zone of a name, and the rest of the name."""
        for zone in parents(name):
            found = self._call("DescribeDomains", KeyWord=zone, SearchMode="EXACT")
            if any(one["DomainName"] == zone for one in found["Domains"]["Domain"]):
                return zone, name.removesuffix(zone).rstrip(".")
        raise DnsError(f"Alibaba Cloud has no zone for {name}")

    def _call(self, action: str, **more: str) -> dict[str, Any]:
        query = {
            "Action": action,
            "Format": "JSON",
            "Version": "2015-01-09",
            "AccessKeyId": self._id,
            "SignatureMethod": "HMAC-SHA1",
            "SignatureVersion": "1.0",
            "SignatureNonce": secrets.token_hex(16),
            "Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            **more,
        }
        query["Signature"] = signature(query, self._secret)
        return call("GET", self._base + "/", params=query)


def signature(query: Mapping[str, str], secret: str) -> str:
    """Sign the parameters of a GET request (signature mechanism for RPC APIs, version 1.0)."""
    canonical = "&".join(f"{_quoted(key)}={_quoted(query[key])}" for key in sorted(query))
    text = f"GET&%2F&{_quoted(canonical)}"
    digest = hmac.digest(f"{secret}&".encode(), text.encode(), "sha1")
    return base64.b64encode(digest).decode()


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")
