"""Counts the failures of each client, in bounded memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

MOST_CLIENTS: Final = 1024
"""Clients that are remembered; the one whose last failure is oldest is forgotten first."""
SECONDS: Final = 600.0
"""A client without a failure for this time is forgotten."""
SHOWN: Final = 20
_PREFIX: Final = 64
"""Bits of an IPv6 address that belong to one client."""


class FailingClients:
    """The clients that failed lately, and how often."""

    def __init__(self) -> None:
        self._clients: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def record(self, address: str) -> int:
        """Record a failure; return how many this client has had lately."""
        now = time.monotonic()
        client = client_of(address)
        at, number = self._clients.pop(client, (now, 0))
        number = number + 1 if now - at < SECONDS else 1
        self._clients[client] = (now, number)
        if len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
        return number

    def worst(self) -> list[tuple[str, int]]:
        """Return the clients with the most failures, the worst first."""
        now = time.monotonic()
        found = [(one, number) for one, (at, number) in self._clients.items() if now - at < SECONDS]
        return sorted(found, key=lambda pair: -pair[1])[:SHOWN]


def client_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 network of an IPv6 one."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address or "unix"
    if isinstance(found, IPv6Address):
        return str(ip_network((found, _PREFIX), strict=False))
    return str(found)
