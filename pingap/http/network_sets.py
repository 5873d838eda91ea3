"""Sets of IP addresses and networks, in which an address is found in one or two microseconds.

IPv4-mapped IPv6 addresses (RFC 4291, 2.5.5.2) are IPv4 addresses everywhere. Nothing here does IO.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final, NamedTuple

_IPV4: Final = int(AF_INET)  # plain numbers: hashing a member of an enum takes a call in Python
_IPV6: Final = int(AF_INET6)
_BITS: Final = {_IPV4: 32, _IPV6: 128}
_MAPPED: Final = 0xFFFF << 32
"""The first address of ``::ffff:0:0/96``."""
_MAPPED_END: Final = _MAPPED + (1 << 32)
_LAST: Final = (1 << 128) - 1
_LOW: Final = (1 << 64) - 1
_SHOWN: Final = 60
NO_ADDRESS: Final = "invalid IP address syntax"
"""The message of pingap 0.13.9 about a text that is no address."""


class Range(NamedTuple):
    """Consecutive addresses.

    :param family: ``AF_INET`` or ``AF_INET6``.
    :param first: the first address, as a number.
    :param end: the number after the last address.
    """

    family: int
    first: int
    end: int


def parse_network(text: str) -> Range:
    """Read an address, or a network in CIDR notation; bits behind its prefix are ignored.

    :raises ValueError: it is neither.
    """
    address, slash, length = text.partition("/")
    family = _IPV6 if ":" in address else _IPV4
    try:
        number = int.from_bytes(inet_pton(family, address))
    except (OSError, ValueError):  # ValueError: a NUL in it
        raise _no_network(text) from None
    bits = _BITS[family]
    if slash and not (length.isascii() and length.isdigit() and len(length) < 4):
        raise _no_network(text)
    free = bits - (int(length) if slash else bits)
    if free < 0:
        raise _no_network(text)
    first = number >> free << free
    end = first + (1 << free)
    if family == _IPV6 and first >= _MAPPED and end <= _MAPPED_END:
        return Range(_IPV4, first - _MAPPED, end - _MAPPED)
    return Range(family, first, end)


def _no_network(text: str) -> ValueError:
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    hint = ": a zone has no meaning here" if "%" in text else ""
    return ValueError(f'"{shown}" is not an IP address or network{hint}')


def parse_list(text: str, name: str) -> Iterator[Range]:
    """Read a list with a network on each line; ``#`` and ``;`` begin comments.

    :param name: of the file, for messages.
    :raises ValueError: a line is not a network; the message has its number.
    """
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.partition("#")[0].partition(";")[0].strip()
        if entry:
            try:
                yield parse_network(entry)
            except ValueError as error:
                raise ValueError(f"{name}:{number}: {error}") from None


NAMED: Final = {
    "loopback": ("127.0.0.0/8", "::1/128"),  # RFC 1122, 3.2.1.3; RFC 4291, 2.5.3
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),  # RFC 1918, RFC 4193
    "link-local": ("169.254.0.0/16", "fe80::/10"),  # RFC 3927; RFC 4291, 2.5.6
    "cgnat": ("100.64.0.0/10",),  # RFC 6598
}
"""Networks that have a name."""


class RangeSet:
    """A set of networks.

    For each family there is a sorted list of borders: a network begins at each even index, and the addresses
    from the next border on are not in the set. So an address is in it if the number of borders that are not
    greater is odd. Arrays are used because a search in a list of numbers spends its time on cache misses.
    """

    def __init__(self, ranges: Iterable[Range]) -> None:
        found: dict[int, list[tuple[int, int]]] = {_IPV4: [], _IPV6: []}
        for family, first, end in ranges:
            found[family].append((first, end))
        self._ipv4 = array("Q", _borders(found[_IPV4]))
        # A border of IPv6 has two halves; that behind the last address is left out, as nothing follows it.
        ipv6 = [border for border in _borders(found[_IPV6]) if border <= _LAST]
        self._high = array("Q", [border >> 64 for border in ipv6])
        self._low = array("Q", [border & _LOW for border in ipv6])

    def __bool__(self) -> bool:
        """Return whether any network is in the set."""
        return bool(self._ipv4 or self._high)

    def __contains__(self, address: str) -> bool:
        """Return whether an address is in the set.

        :param address: its zone, if it has one, is ignored.
        :raises ValueError: it is not an IP address.
        """
        if "%" in address:
            address = address.partition("%")[0]
        try:
            if ":" not in address:
                number = int.from_bytes(inet_pton(_IPV4, address))
                return bisect_right(self._ipv4, number) % 2 == 1
            number = int.from_bytes(inet_pton(_IPV6, address))
        except (OSError, ValueError):
            raise ValueError(NO_ADDRESS) from None
        return self._has_ipv6(number)

    def has(self, address: IPv4Address | IPv6Address) -> bool:
        """Return whether a parsed address is in the set."""
        if address.version == 4:
            return bisect_right(self._ipv4, int(address)) % 2 == 1
        return self._has_ipv6(int(address))

    def _has_ipv6(self, number: int) -> bool:
        if _MAPPED <= number < _MAPPED_END:
            return bisect_right(self._ipv4, number - _MAPPED) % 2 == 1
        return self._count_ipv6(number) % 2 == 1

    def _count_ipv6(self, number: int) -> int:
        """Return the number of borders that are not greater."""
        high = number >> 64
        count = bisect_right(self._high, high)
        if count and self._high[count - 1] == high:
            first = bisect_left(self._high, high, 0, count)
            return bisect_right(self._low, number & _LOW, first, count)
        return count


def _borders(pairs: list[tuple[int, int]]) -> list[int]:
    """Sort ranges, and merge those that overlap or touch."""
    merged: list[int] = []
    for first, end in sorted(pairs):
        if merged and first <= merged[-1]:
            merged[-1] = max(merged[-1], end)
        else:
            merged += (first, end)
    return merged
