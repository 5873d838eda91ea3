"""The request body on one stream of a client's connection, and its time limit."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import TYPE_CHECKING

from pingap.downstream.http1_connection import LINGER_BYTES
from pingap.http.headers import Headers
from pingap.protocol.http2_codec import Http2Codec
from pingap.proxy.exchange import Exchange
from pingap.wire.http2_halves import Http2Halves

if TYPE_CHECKING:
    from pingap.downstream.http2_connection import Http2Connection


class Http2RequestBody(Http2Halves[Exchange]):
    """The reading half of a stream.

    :param connection: the connection it belongs to.
    :param number: of the stream.
    """

    __slots__ = ("_linger_left", "_lingering")

    _connection: Http2Connection
    _codec: Http2Codec

    def __init__(self, connection: Http2Connection, number: int) -> None:
        super().__init__(connection, connection.codec, number)
        self._lingering = False  # the response is sent, but the client still sends
        self._linger_left = LINGER_BYTES

    @abstractmethod
    def _end_linger(self) -> None:
        """Read no more."""

    def _pass_chunk(self, data: bytes) -> None:
        assert self._exchange is not None
        self._exchange.on_request_chunk(data)

    def _pass_end(self, trailers: Headers | None) -> None:
        if self._exchange is not None:
            self._exchange.on_request_end(trailers)

    def _await_body(self, now: float) -> None:
        if not self.is_unsent:
            seconds = self._connection.limits.read_timeout
            if self._exchange is not None and self._exchange.body_timeout is not None:
                seconds = self._exchange.body_timeout
            self._set_deadline(now + seconds)

    def watch_body(self) -> None:
        if self._reading and not self._paused:
            self._await_body(time.monotonic())

    def _on_unwanted(self, size: int, ended: bool) -> None:
        """Handle the rest of a request that has already been answered.

        The client could be told to stop immediately (RFC 9113, 8.1), but curl up to 7.88 then discards the
        response.
        """
        if not self._lingering:
            return
        self._linger_left -= size
        if ended or self._linger_left < 0:
            self._end_linger()
