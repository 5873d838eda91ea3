"""Detects the version of HTTP on a connection without TLS by its first bytes.

A client with prior knowledge begins HTTP/2 with a preface that is not a valid HTTP/1.1 request (RFC 9113,
3.3). After the decision, the connection is passed on, so that no overhead remains. A first line that is a
request line except for its version is a broken preface, which is answered with GOAWAY.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from pingap.downstream.http1_connection import Http1Connection
from pingap.downstream.http2_connection import Http2Connection
from pingap.downstream.listener import MOST_TURNED_AWAY

if TYPE_CHECKING:
    from pingap.downstream.listener import Listener

TURN_AWAY_SECONDS: Final = 1.0
"""How long a connection above the limit may take to show its protocol."""

_FIRST_LINE: Final = b"PRI * HTTP/2.0\r\n"


class SniffingConnection(Http1Connection):
    """An HTTP/1.1 connection, until its first bytes indicate another protocol."""

    __slots__ = ("_first", "_turned_away")

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener)
        self._first = b""
        self._turned_away = False

    def turn_away(self) -> None:
        """Wait for the client's protocol, to answer in it."""
        if self._listener.excess > MOST_TURNED_AWAY:
            super().turn_away()
        else:
            self._turned_away = True
            self.deadline = time.monotonic() + TURN_AWAY_SECONDS

    def on_deadline(self) -> None:
        if self._turned_away and not self._ending:
            super().turn_away()
        else:
            super().on_deadline()

    def data_received(self, data: bytes) -> None:
        first = self._first + data
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
        if self._turned_away:
            to.turn_away()
        else:
            to.data_received(data)


def _is_broken_preface(first: bytes) -> bool:
    line, end, _ = first.partition(b"\r\n")
    return bool(end) and line.count(b" ") == 2 and b" HTTP/" not in line
