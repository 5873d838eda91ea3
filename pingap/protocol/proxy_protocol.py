"""The PROXY protocol, versions 1 and 2: the client's address at the beginning of a connection; no IO.

Based on HAProxy's ``doc/proxy-protocol.txt``. Extensions (TLVs) are skipped, except for the checksum, which
must be correct. Whether the sender is trusted is decided elsewhere.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeAlias

Endpoint: TypeAlias = tuple[str, int]

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
MOST_TEXT: Final = 107
"""Maximum size of a version 1 header, including its line end."""
MOST_BINARY: Final = 8 * 1024
"""Maximum size of a version 2 header; the extensions may contain the client's certificate."""

_START: Final = b"PROXY "
_PORT: Final = re.compile(rb"0|[1-9][0-9]{0,4}")
_LOCAL, _PROXY = 0x20, 0x21
_IPV4, _IPV6, _UNIX = 1, 2, 3
_DATAGRAM: Final = 2  # the client's transport; STREAM is 1
_ADDRESSES: Final = {0: 0, _IPV4: 12, _IPV6: 36, _UNIX: 216}
"""Address family -> bytes of its addresses and ports."""
_CRC32C: Final = 0x03  # a type of extension (2.2.3)


class ProxyProtocolError(Exception):
    """The received data is not a PROXY protocol header."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """The content of a header.

    :param source: address and port of the client; None if the connection is the sender's own (LOCAL), or if
        nothing is known of it (UNKNOWN, UNSPEC): the address of the sender is then used. For a Unix socket,
        which has neither, the address is empty.
    :param destination: the address that the client connected to; None as for the source.
    """

    source: Endpoint | None = None
    destination: Endpoint | None = None


_NOBODY: Final = ProxyHeader()
_ON_A_UNIX_SOCKET: Final = ProxyHeader(("", 0), ("", 0))


class ProxyHeaderDecoder:
    """Reads the header at the start of one connection."""

    __slots__ = ("_unread",)

    def __init__(self) -> None:
        self._unread = b""

    def feed(self, data: bytes) -> tuple[ProxyHeader, bytes] | None:
        """Handle received bytes; return the header and the data after it, or None if it is incomplete.

        :raises ProxyProtocolError: it is not a header.
        """
        self._unread = data = self._unread + data
        if data.startswith(SIGNATURE):
            return _read_binary(data)
        if data.startswith(_START):
            return _read_text(data)
        if SIGNATURE.startswith(data) or _START.startswith(data):
            return None
        raise ProxyProtocolError("neither version 1 nor version 2 begins like this")


def _read_text(data: bytes) -> tuple[ProxyHeader, bytes] | None:
    end = data.find(b"\r\n", 0, MOST_TEXT)
    if end < 0:
        if len(data) >= MOST_TEXT:
            raise ProxyProtocolError(f"no line end within {MOST_TEXT} bytes")
        return None
    rest = data[end + 2 :]
    words = data[:end].split(b" ")
    if words[1] == b"UNKNOWN":
        return _NOBODY, rest
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise ProxyProtocolError("not a line of TCP4, TCP6 or UNKNOWN")
    _, family, source, destination, source_port, destination_port = words
    kind = IPv4Address if family == b"TCP4" else IPv6Address
    return (
        ProxyHeader(
            (_address(source, kind), _port(source_port)),
            (_address(destination, kind), _port(destination_port)),
        ),
        rest,
    )


def _address(text: bytes, kind: type[IPv4Address] | type[IPv6Address]) -> str:
    try:
        address = kind(text.decode("ascii"))
    except ValueError:
        raise ProxyProtocolError("not an address of its family") from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ProxyProtocolError("an address with a scope")
    return str(address)


def _port(text: bytes) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise ProxyProtocolError("not a port")
    return int(text)


def _read_binary(data: bytes) -> tuple[ProxyHeader, bytes] | None:
    at = len(SIGNATURE)
    if len(data) > at and data[at] not in (_LOCAL, _PROXY):
        raise ProxyProtocolError("not version 2, or an unknown command")
    if len(data) < at + 4:
        return None
    size = int.from_bytes(data[at + 2 : at + 4])
    begin = at + 4
    end = begin + size
    if end > MOST_BINARY:
        raise ProxyProtocolError(f"more than {MOST_BINARY} bytes")
    if len(data) < end:
        return None
    if data[at] == _LOCAL:
        return _NOBODY, data[end:]  # its addresses must be ignored
    family, transport = divmod(data[at + 1], 16)
    if family not in _ADDRESSES or transport > _DATAGRAM:
        raise ProxyProtocolError("an unknown family of addresses")
    block, extensions = data[begin:end], begin + _ADDRESSES[family]
    if extensions > end:
        raise ProxyProtocolError("too short for its addresses")
    if family:  # without a family, the end of the addresses is unknown
        _check_extensions(data[:end], extensions)
    return _read_addresses(family, block), data[end:]


def _read_addresses(family: int, block: bytes) -> ProxyHeader:
    if family == _UNIX:
        return _ON_A_UNIX_SOCKET
    if family == _IPV4:
        source, destination, *ports = struct.unpack_from(">4s4sHH", block)
    elif family == _IPV6:
        source, destination, *ports = struct.unpack_from(">16s16sHH", block)
    else:
        return _NOBODY
    return ProxyHeader(
        (str(ip_address(source)), ports[0]), (str(ip_address(destination)), ports[1])
    )


def _check_extensions(header: bytes, at: int) -> None:
    """Check that the TLVs fill their space, and that a checksum is correct.

    :param at: where they begin: each has a type, a length and that many bytes.
    """
    checksum = 0  # its position
    while at < len(header):
        value = at + 3
        end = value + int.from_bytes(header[at + 1 : value])
        if end > len(header):
            raise ProxyProtocolError("an extension is cut short")
        if header[at] == _CRC32C:
            if checksum or end - value != 4:
                raise ProxyProtocolError("more than one checksum, or not of 4 bytes")
            checksum = value
        at = end
    if checksum:
        zeroed = header[:checksum] + bytes(4) + header[checksum + 4 :]
        if crc32c(zeroed) != int.from_bytes(header[checksum : checksum + 4]):
            raise ProxyProtocolError("a wrong checksum")


def _crc_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_CRC_TABLE: Final = tuple(map(_crc_of_byte, range(256)))


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (RFC 9260, appendix A) of bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


# Writing.


def proxy_header(version: str, source: Endpoint, destination: Endpoint) -> bytes:
    """Return the header with a client's address.

    :param version: ``v1`` or ``v2``.
    :param source: of the client; an empty address (a Unix socket) is sent as unknown.
    :param destination: the address that the client connected to.
    """
    try:
        pair = _same_family(ip_address(_plain(source[0])), ip_address(_plain(destination[0])))
    except ValueError:
        return b"PROXY UNKNOWN\r\n" if version == "v1" else SIGNATURE + b"\x20\0\0\0"
    old = isinstance(pair[0], IPv4Address)
    if version == "v1":
        family = "TCP4" if old else "TCP6"
        return f"PROXY {family} {pair[0]} {pair[1]} {source[1]} {destination[1]}\r\n".encode()
    block = pair[0].packed + pair[1].packed + struct.pack(">HH", source[1], destination[1])
    kind = 0x11 if old else 0x21
    return SIGNATURE + struct.pack(">BBH", _PROXY, kind, len(block)) + block


def _plain(text: str) -> str:
    return text.partition("%")[0]  # a scope has no meaning on other hosts


def _same_family(
    one: IPv4Address | IPv6Address, other: IPv4Address | IPv6Address
) -> tuple[IPv4Address, IPv4Address] | tuple[IPv6Address, IPv6Address]:
    """Return two addresses in a common family: IPv4 if both can be, else IPv6."""
    old = [_as_ipv4(address) for address in (one, other)]
    if old[0] is not None and old[1] is not None:
        return old[0], old[1]
    return _as_ipv6(one), _as_ipv6(other)


def _as_ipv4(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    return address if isinstance(address, IPv4Address) else address.ipv4_mapped


def _as_ipv6(address: IPv4Address | IPv6Address) -> IPv6Address:
    if isinstance(address, IPv6Address):
        return address
    return IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)
