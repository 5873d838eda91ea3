"""``upstreams.*.transparent_allow``: the hosts and ports that clients may reach. Nothing is resolved."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, TypeAlias

from pingap.config.problem import shortened

IPAddress: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_NAME: Final = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_SPECIAL: Final[tuple[Network, ...]] = (
    IPv4Network("0.0.0.0/8"),  # this machine: Linux treats 0.0.0.0 as such
    IPv4Network("127.0.0.0/8"),
    IPv4Network("169.254.0.0/16"),  # link-local, including the metadata services of clouds
    IPv4Network("224.0.0.0/4"),
    IPv4Network("240.0.0.0/4"),
    IPv6Network("::/8"),  # this machine, and IPv4 in other forms, including NAT64
    IPv6Network("fe80::/10"),
    IPv6Network("ff00::/8"),
)
_EXAMPLES: Final = '"api.example.com", "*.example.com:443", "10.0.0.0/8" or "[fd00::/8]:8080"'


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """One entry: a name, all names below a name, or a network; at one port.

    :param name: in lower case; empty for a network.
    :param below: matches names that end with this one, but not the name itself.
    :param port: None for the default port of a request.
    """

    name: str = ""
    below: bool = False
    network: Network | None = None
    port: int | None = None

    def has_name(self, host: str) -> bool:
        """Return whether the entry covers a host, in lower case."""
        if self.below:
            return host.endswith("." + self.name)
        return bool(self.name) and host == self.name

    def has_address(self, address: IPAddress) -> bool:
        """Return whether the entry covers an address."""
        return self.network is not None and address in self.network

    @property
    def names_special(self) -> bool:
        """Whether it lies within addresses that are only reached if they are listed explicitly."""
        found = self.network
        return found is not None and any(
            (isinstance(found, IPv4Network) and found.subnet_of(one))
            if isinstance(one, IPv4Network)
            else (isinstance(found, IPv6Network) and found.subnet_of(one))
            for one in _SPECIAL
        )


def parse_allowed_host(text: str) -> AllowedHost:
    """Read an entry: ``name[:port]``, ``*.name[:port]``, ``network[:port]`` or ``[v6 network]:port``.

    :raises ValueError: with a message for the operator.
    """
    host, port = _split(text)
    if (network := _network(host)) is not None:
        return AllowedHost(network=network, port=port)
    name = host.lower().removesuffix(".")
    if not _NAME.fullmatch(name) or name.rpartition(".")[2].isdigit():
        raise _malformed(text)
    below = name.startswith("*.")
    return AllowedHost(name=name.removeprefix("*."), below=below, port=port)


def is_special(address: IPAddress) -> bool:
    """Return whether an address is loopback, link-local, multicast or unspecified."""
    return any(address in network for network in _SPECIAL)


def plain_address(text: str) -> IPAddress | None:
    """Return an address, IPv4 inside IPv6 as IPv4; None if the text is not an address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _split(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not isinstance(_network(host), IPv6Network):
            raise _malformed(text)
        if not rest:
            return host, None
    elif text.count(":") > 1:
        return text, None  # IPv6 without brackets has no port
    else:
        host, colon, port = text.partition(":")
        if not colon:
            return host, None
        rest = colon + port
    port = rest[1:]
    if rest[0] != ":" or not _PORT.fullmatch(port) or int(port) > 65535:
        raise _malformed(text)
    return host, int(port)


def _network(text: str) -> Network | None:
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        return None
    raise ValueError(
        f'found {shortened(text)}, whose address has bits beyond the mask: write "{found}"'
    )


def _malformed(text: str) -> ValueError:
    return ValueError(f"found {shortened(text)}, expected a host such as {_EXAMPLES}")
