"""Reads the first message of a TLS handshake, for decisions before OpenSSL sees it; no IO.

Python's ssl module cannot reject protocols that a server does not support, and prints a traceback for a name
that is not ASCII. Messages that are malformed in other ways are left to OpenSSL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MOST_HELLO: Final = 16 * 1024
"""Maximum size of a ClientHello that is examined; a larger one is left to OpenSSL."""

NO_APPLICATION_PROTOCOL: Final = 120
UNRECOGNIZED_NAME: Final = 112
DECODE_ERROR: Final = 50

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_RECORD_HEAD, _MESSAGE_HEAD = 5, 4
_BEFORE_SESSION: Final = 2 + 32  # version and random
_SERVER_NAME, _ALPN = 0, 16


@dataclass(frozen=True, slots=True)
class ClientHello:
    """The relevant parts of a ClientHello.

    :param server_name: SNI (RFC 6066, 3); None if there is none.
    :param protocols: the offered ALPN protocols (RFC 7301, 3.1); None if there is no offer.
    """

    server_name: bytes | None = None
    protocols: tuple[bytes, ...] | None = None


UNREADABLE: Final = ClientHello()


class HelloReader:
    """Reads the ClientHello at the start of one connection."""

    __slots__ = ("_message", "_received")

    def __init__(self) -> None:
        self._received = bytearray()  # part of a record
        self._message = bytearray()

    def feed(self, data: bytes) -> ClientHello | None:
        """Handle received bytes; None: incomplete. ``UNREADABLE`` stands for anything but a ClientHello."""
        received, message = self._received, self._message
        received += data
        while len(received) >= _RECORD_HEAD:
            end = _RECORD_HEAD + int.from_bytes(received[3:_RECORD_HEAD])
            if received[0] != _HANDSHAKE or end > MOST_HELLO:
                return UNREADABLE
            if len(received) < end:
                break
            message += received[_RECORD_HEAD:end]
            del received[:end]
            if len(message) >= _MESSAGE_HEAD:
                size = _MESSAGE_HEAD + int.from_bytes(message[1:_MESSAGE_HEAD])
                if message[0] != _CLIENT_HELLO or size > MOST_HELLO:
                    return UNREADABLE
                if len(message) >= size:
                    return _read(bytes(message[_MESSAGE_HEAD:size]))
        return None


def _read(body: bytes) -> ClientHello:
    try:
        extensions = _extensions(body)
        name, protocols = extensions.get(_SERVER_NAME), extensions.get(_ALPN)
        return ClientHello(
            name[5 : 5 + _number(name, 3)] if name else None,
            None if protocols is None else _names(protocols[2:]),
        )
    except (IndexError, ValueError):
        return UNREADABLE


def _extensions(body: bytes) -> dict[int, bytes]:
    at = _BEFORE_SESSION
    at += 1 + body[at]  # session
    at += 2 + _number(body, at)  # ciphers
    at += 1 + body[at]  # compressions
    found: dict[int, bytes] = {}
    at += 2
    while at < len(body):
        kind, size = _number(body, at), _number(body, at + 2)
        value = body[at + 4 : at + 4 + size]
        if len(value) < size:
            raise ValueError("an extension is cut short")
        found[kind] = value
        at += 4 + size
    return found


def _names(data: bytes) -> tuple[bytes, ...]:
    names, at = [], 0
    while at < len(data):
        names.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return tuple(names)


def _number(data: bytes, at: int) -> int:
    if at + 2 > len(data):
        raise ValueError("cut short")
    return data[at] << 8 | data[at + 1]


def alert(description: int) -> bytes:
    """Return a fatal alert in the form used before encryption begins (RFC 8446, 6)."""
    return bytes((21, 3, 3, 0, 2, 2, description))


def objection(hello: ClientHello, spoken: frozenset[bytes]) -> int | None:
    """Return the alert that rejects a ClientHello, if there is a reason.

    :param spoken: the protocols of the server.
    """
    if hello.protocols is not None and spoken.isdisjoint(hello.protocols):
        return NO_APPLICATION_PROTOCOL  # RFC 7301, 3.2
    if hello.server_name is not None and not hello.server_name.isascii():
        return UNRECOGNIZED_NAME
    return None
