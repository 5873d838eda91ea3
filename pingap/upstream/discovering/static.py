"""Static discovery: the backends in ``addrs``; names are looked up once."""

from __future__ import annotations

import socket

from pingap.plugins.discovery import Discovered, Discovery


class StaticDiscovery(Discovery):
    """Backends listed in the configuration."""

    word = "static"
    fixed = True

    def add(self, text: str) -> None:
        """Add a backend.

        :raises ValueError: it is malformed, or its name has no address.
        """
        endpoint = self.parse(text)
        if (name := endpoint.host_name) is None:
            self.known.append(endpoint)
            return
        family = socket.AF_INET if self.settings.ipv4_only else socket.AF_UNSPEC
        try:
            found = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ValueError(f'"{name}" cannot be resolved: {reason}') from None
        addresses = dict.fromkeys(str(address[0]) for *_, address in found)
        self.known += map(endpoint.at, addresses)

    async def find(self) -> Discovered:
        """Return the backends."""
        return Discovered(self.known)
