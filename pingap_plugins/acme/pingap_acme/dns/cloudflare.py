"""Cloudflare (https://developers.cloudflare.com/api)."""

from __future__ import annotations

from typing import Any, Final

from pingap_acme.dns.api import call
from pingap_acme.dns.provider import DnsError, base_of, parameters, parents

_TTL: Final = 120


class Cloudflare:
    """``https://api.cloudflare.com?token=...``: a token that may read zones and edit their records."""

    def __init__(self, url: str) -> None:
        token = parameters(url, "token")["token"]
        self._base = base_of(url, "https://api.cloudflare.com") + "/client/v4"
        self._headers = {"Authorization": f"Bearer {token}"}

    def add(self, name: str, value: str) -> None:
        """Add a record."""
        zone = self._zone(name)
        record = {"type": "TXT", "name": name, "content": f'"{value}"', "ttl": _TTL}
        self._call("POST", f"/zones/{zone}/dns_records", json=record)

    def remove(self, name: str, value: str) -> None:
        """Remove a record."""
        zone = self._zone(name)
        query = {"type": "TXT", "name": name}
        for one in self._call("GET", f"/zones/{zone}/dns_records", params=query):
            if one["content"].strip('"') == value:
                self._call("DELETE", f"/zones/{zone}/dns_records/{one['id']}")

    def _zone(self, name: str) -> str:
        for zone in parents(name):
            if found := self._call("GET", "/zones", params={"name": zone}):
                return str(found[0]["id"])
        raise DnsError(f"Cloudflare has no zone for {name}, or the token may not read it")

    def _call(self, method: str, path: str, **options: Any) -> Any:
        return call(method, self._base + path, headers=self._headers, **options).get("result")
