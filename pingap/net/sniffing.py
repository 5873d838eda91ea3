"""Which version of HTTP a client speaks on a connection without TLS: its first bytes tell.

A client with prior knowledge begins HTTP/2 with a preface that is no request of HTTP/1.1 (RFC 9113,
3.3). Once that is decided, the connection is handed over, so that nothing of this is left on its way.
A first line that is a request line but for its version is a broken preface: GOAWAY answers it.
"""

from __future__ import annotations

from typing import Final

from pingap.net.http1_connection import Http1Connection
from pingap.net.http2_connection import Http2Connection

_FIRST_LINE: Final = b"PRI * HTTP/2.0\r\n"


class SniffingConnection(Http1Connection):
    """A connection of HTTP/1.1, until its first bytes tell otherwise."""

    __slots__ = ("_first",)

    _first: bytes

    def data_received(self, data: bytes) -> None:
        first = getattr(self, "_first", b"") + data
        if first.startswith(_FIRST_LINE) or _is_broken_preface(first):
            self._hand_over(Http2Connection(self._listener), first)
        elif _FIRST_LINE.startswith(first):
            self._first = first
        else:
            self._hand_over(Http1Connection(self._listener), first)

    def _hand_over(self, to: Http1Connection | Http2Connection, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._listener.replace(self, to)
        transport.set_protocol(to)
        to.take_over(transport, self._connection)
        to.data_received(data)


def _is_broken_preface(first: bytes) -> bool:
    line, end, _ = first.partition(b"\r\n")
    return bool(end) and line.count(b" ") == 2 and b" HTTP/" not in line
