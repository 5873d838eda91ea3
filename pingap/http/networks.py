"""IP addresses and networks as written in configuration and headers. Nothing here does IO.

A dual-stack socket shows IPv4 clients as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2). They are treated as IPv4
everywhere.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Protocol, TypeAlias

IpAddress: TypeAlias = IPv4Address | IPv6Address

_MAPPED_BITS: Final = 96
"""Length of ``::ffff:0:0/96``, the prefix of IPv4-mapped addresses."""
_LONGEST: Final = len("0000:0000:0000:0000:0000:ffff:255.255.255.255")
_PORT: Final = re.compile(r"(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")  # RFC 7239, 6


class UnixPeers:
    """All peers on Unix sockets, as an entry in a list of networks: it contains no IP address."""

    def __contains__(self, address: object) -> bool:
        return False

    def __repr__(self) -> str:
        return "unix:"


class NetworkMembers(Protocol):
    """A network, or several: an entry in a list of networks."""

    def __contains__(self, address: IpAddress, /) -> bool: ...


Network: TypeAlias = IPv4Network | IPv6Network | UnixPeers | NetworkMembers
UNIX: Final = UnixPeers()


def as_ip(text: str) -> IpAddress | None:
    """Return a text as an address, IPv4-mapped ones as IPv4; None if it is not an address.

    A scope (``fe80::1%eth0``) is rejected: it has no meaning on other hosts, and may contain any character.
    """
    if len(text) > _LONGEST or "%" in text:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def shown(text: str) -> str:
    """Return the address of a socket for display: IPv4-mapped ones as IPv4."""
    if not text.startswith("::ffff:"):
        return text
    address = as_ip(text)
    return text if address is None else str(address)


def parse_node(text: str) -> IpAddress | None:
    """Return the address of ``address``, ``address:port``, ``[v6]`` or ``[v6]:port``.

    :returns: None for ``unknown``, an obfuscated identifier (RFC 7239, 6.3), and anything else.
    """
    if text[:1] == "[":
        host, bracket, port = text[1:].partition("]")
        known = bracket != "" and ":" in host
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        port = f":{port}"
        known = True
    else:
        host, port, known = text, "", True
    return as_ip(host) if known and _PORT.fullmatch(port) else None


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """Read an address or network; IPv4-mapped ones become IPv4.

    :raises ValueError: it is neither.
    """
    network = ip_network(text, strict=False)
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = IPv6Address(network.network_address).ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def parse_trusted(text: str) -> Network:
    """Read an entry of ``basic.trusted_proxies``: an address, a network, or ``unix:``.

    :raises ValueError: it is none of these.
    """
    return UNIX if text in ("unix:", "unix") else parse_network(text)


def contains(networks: tuple[Network, ...], address: IpAddress) -> bool:
    """Return whether an address is in one of the networks."""
    return any(address in network for network in networks)


def is_trusted_peer(address: str, networks: tuple[Network, ...], *, unix: bool) -> bool:
    """Return whether the peer of a connection is trusted.

    A peer on a Unix socket is as local as one on the loopback interface, and trusted with it.

    :param unix: the peer is on a Unix socket, and has no address.
    """
    if not networks:
        return False
    if unix:
        loopback = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
        return UNIX in networks or any(contains(networks, one) for one in loopback)
    found = as_ip(address.partition("%")[0])
    return found is not None and contains(networks, found)
