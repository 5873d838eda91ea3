"""acme-dns (https://github.com/joohoi/acme-dns): a DNS server for challenges only, to which a CNAME leads."""

from __future__ import annotations

from pingap_acme.dns.api import call
from pingap_acme.dns.provider import base_of, parameters


class AcmeDns:
    """``https://auth.acme-dns.io?username=...&password=...&subdomain=...``."""

    def __init__(self, url: str) -> None:
        found = parameters(url, "username", "password", "subdomain")
        self._base = base_of(url, "https://auth.acme-dns.io")
        self._headers = {"X-Api-User": found["username"], "X-Api-Key": found["password"]}
        self._subdomain = found["subdomain"]

    def add(self, name: str, value: str) -> None:
        """Set one of the two records of the subdomain; the server forgets the older one."""
        body = {"subdomain": self._subdomain, "txt": value}
        call("POST", self._base + "/update", headers=self._headers, json=body)

    def remove(self, name: str, value: str) -> None:
        """Do nothing: the server has no such call."""
