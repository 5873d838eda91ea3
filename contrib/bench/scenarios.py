"""The requests of each scenario, and the tool that sends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the tables.

    :param what: for the manual.
    :param connections: how many keep-alive connections are used.
    :param protocol: a field of ``proxies.Ports``; ``h2`` runs ten streams on each connection.
    :param mixed: no two requests are alike, nor are their answers.
    :param body: bytes of the request's body; 0 is a GET.
    """

    what: str
    path: str
    connections: int = 10
    protocol: str = "plain"
    mixed: bool = False
    body: int = 0

    @property
    def tool(self) -> str:
        """The program that makes the requests, other than the bench's own."""
        return "" if self.mixed and self.protocol == "h2" else _TOOLS[self.protocol]


_TOOLS: Final = {"plain": "wrk", "tls": "wrk", "h2": "h2load"}
_MIB: Final = 1024 * 1024

SCENARIOS: Final = {
    "mixed-1k": Scenario("requests and 1 KiB answers that all differ", "/mixed/", mixed=True),
    "mixed-tls-1k": Scenario("the same over TLS", "/mixed/", protocol="tls", mixed=True),
    "mixed-h2-1k": Scenario("the same over HTTP/2", "/mixed/", protocol="h2", mixed=True),
    "post-1k": Scenario("the same with bodies of 1 KiB", "/post/", mixed=True, body=1024),
    "post-1m": Scenario("the same with bodies of 1 MiB", "/post/", 4, mixed=True, body=_MIB),
    "ping": Scenario("answered by the proxy", "/ping"),
    "proxy-1k": Scenario("one request for 1 KiB, repeated", "/1k"),
    "proxy-1k-c500": Scenario("the same", "/1k", 500),
    "proxy-64k": Scenario("64 KiB", "/64k"),
    "proxy-1m": Scenario("1 MiB", "/1m", 4),
    "tls-1k": Scenario("proxy-1k over TLS", "/1k", protocol="tls"),
    "h2-ping": Scenario("ping over HTTP/2", "/ping", protocol="h2"),
    "h2-1k": Scenario("proxy-1k over HTTP/2", "/1k", protocol="h2"),
}
"""In the order of the rows."""
