"""Writes HTTP/1.1 responses to a client, with the framing of each body."""

from __future__ import annotations

import asyncio
import socket
import struct
from abc import ABC, abstractmethod
from typing import Final

from pingap.http.headers import Headers
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.protocol import http1_write
from pingap.wire.write_batch import WriteBatch

_NO_BODY: Final = frozenset((204, 304))
_UNUSUAL: Final = _NO_BODY | {426}
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)


class Http1Writer(ABC):
    """The writing half of a client's connection.

    If the length of a body differs from its head, the connection is closed, regardless of the cause:
    otherwise the next response would be read as part of the body (RFC 9112, 6.3).
    """

    __slots__ = (
        "_announced",
        "_bodyless",
        "_chunked",
        "_closing",
        "_ends_with_connection",
        "_head",
        "_reading_body",
        "_request",
        "_transport",
        "_tunnelling",
        "_writes",
        "body_bytes_sent",
    )

    def __init__(self, writes: WriteBatch) -> None:
        self._writes = writes
        self._transport: asyncio.Transport | None = None
        self._request: Request | None = None
        self._closing = False  # the connection is closed after this response
        self._head = b""  # waits for the first piece of the body: one write for both
        self._reading_body = False  # of the request: a response now would overtake it
        self._chunked = False
        self._tunnelling = False  # both sides use another protocol
        self._bodyless = False
        self._ends_with_connection = False  # only the end of the connection delimits the body
        self._announced: int | None = None  # remaining bytes of the body
        self.body_bytes_sent = 0

    def send_interim(self, response: Response) -> None:
        """Pass on a 1xx response; HTTP/1.0 has none (RFC 9110, 15.2)."""
        assert self._request is not None
        if self._transport is not None and self._request.http_version != "1.0":
            self._writes.write(self._transport, http1_write.interim_head(response))

    def send_whole(self, response: Response, body: bytes) -> None:
        """Send a response with its whole body."""
        request = self._request
        assert request is not None
        if (
            self._closing
            or self._reading_body
            or request.method == "HEAD"
            or request.http_version == "1.0"
            or response.status in _UNUSUAL
        ):
            data = self._unusual_whole(response, body)
        else:
            self.body_bytes_sent = len(body)
            data = http1_write.whole_response(response, body)
        if self._transport is not None:
            self._writes.write(self._transport, data)

    def _unusual_whole(self, response: Response, body: bytes) -> bytes:
        """Return a response that must not have a body, or after which the connection may end."""
        if self._reading_body:
            self._skip_body()
        head = self._frame(response, len(body))
        if self._bodyless:
            body = b""
        self.body_bytes_sent = len(body)
        return head + body

    def send_head(self, response: Response, length: int | None) -> None:
        """Begin a response. Its head is sent with the first piece of the body, or by ``flush``."""
        self._head = self._frame(response, length)
        self._announced = length
        self.body_bytes_sent = 0

    def withdraw_head(self) -> bool:
        """Drop the head, if it has not been sent."""
        waited, self._head = bool(self._head), b""
        return waited and self._transport is not None

    def begin_tunnel(self, response: Response) -> None:
        """Send 101; data after it belongs to another protocol."""
        self._closing = True
        self._tunnelling = True
        self._chunked = self._bodyless = self._ends_with_connection = False
        self._announced = None
        if self._transport is not None and self._request is not None:
            head = http1_write.switching_head(response, self._request.upgrade)
            self._writes.write(self._transport, head)

    def flush(self) -> None:
        """Send the head, if it still waits."""
        if self._head and self._transport is not None:
            self._writes.write(self._transport, self._head)
        self._head = b""

    def send_chunk(self, chunk: bytes) -> None:
        """Send a piece of the body."""
        if self._bodyless or self._transport is None:
            return
        if self._announced is not None:
            self._announced -= len(chunk)
            if self._announced < 0:
                self.cut()
                return
        self.body_bytes_sent += len(chunk)
        if self._chunked:
            chunk = http1_write.chunk(chunk)
        if self._head:
            chunk, self._head = self._head + chunk, b""
        self._writes.write(self._transport, chunk)

    def send_end(self, trailers: Headers | None) -> None:
        """End the body."""
        if self._transport is None:
            return
        if self._tunnelling:
            self._writes.settle(self._transport)
            if self._transport.can_write_eof():
                self._transport.write_eof()
            return
        end = b""
        if self._announced and not self._bodyless:
            self.cut()
        elif self._chunked:
            end = http1_write.last_chunk(trailers)
        if end or self._head:
            self._writes.write(self._transport, self._head + end)
            self._head = b""

    @abstractmethod
    def _skip_body(self) -> None:
        """Discard the received part of a request body that the response has overtaken."""

    def cut(self) -> None:
        """Abort, so that the client sees that the response is incomplete."""
        if self._transport is not None:
            if self._ends_with_connection:
                _reset_on_close(self._transport)
            unsent = self._writes.forget(self._transport)
            if not self._transport.is_closing():
                unsent += self._transport.get_write_buffer_size()
            self.body_bytes_sent = max(0, self.body_bytes_sent - unsent)
            self._closing = True
            self._transport.abort()

    def _frame(self, response: Response, length: int | None) -> bytes:
        """Decide on the framing of the body and on keep-alive; return the head."""
        request = self._request
        assert request is not None
        if self._reading_body:
            self._closing = True
        old = request.http_version == "1.0"
        self._bodyless = request.method == "HEAD" or response.status in _NO_BODY
        unknown = length is None and not self._bodyless
        self._chunked = unknown and not old
        self._ends_with_connection = unknown and old
        if self._ends_with_connection:
            self._closing = True
        if response.status == 204 or (response.status == 304 and not response.upstream):
            length = None  # only an upstream knows the length of the content (RFC 9110, 8.6)
        connection = b"close" if self._closing else b"keep-alive" if old else b""
        return http1_write.response_head(
            response, length, chunked=self._chunked, connection=connection
        )


def _reset_on_close(transport: asyncio.Transport) -> None:
    """Reset the connection when it is closed: an orderly end would look like the end of the body."""
    if (sock := transport.get_extra_info("socket")) is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
