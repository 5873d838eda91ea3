"""Reading responses of HTTP/1.1 (RFC 9112), without IO."""

from __future__ import annotations

from typing import Final, TypeAlias

from pingap.http.errors import UpstreamError
from pingap.http.headers import Headers, make_headers, set_unchecked
from pingap.http.response import Response, make_response
from pingap.protocol.chunked import ChunkedDecoder
from pingap.protocol.events import RESPONSE_LIMITS, TUNNEL_PIECE, EndOfMessage
from pingap.protocol.fields import connection_options, drop_listed, read_length
from pingap.protocol.http1_head import (
    END_OF_HEAD,
    Malformed,
    has_bare_lf,
    read_response_fields,
    read_status_line,
)
from pingap.protocol.plain_heads import NO_BODY
from pingap.protocol.readers import read_plain_response

Event: TypeAlias = Response | bytes | EndOfMessage

# The kind of the next bytes. Plain integers, because looking up an enum member costs as much as parsing a
# header field.
_HEAD: Final = 0  # an interim or final head
_COUNTED: Final = 1  # a body of known length
_CHUNKED: Final = 2  # a body in chunked coding
_UNTIL_CLOSE: Final = 3  # a body that ends with the connection (RFC 9112, 6.3, rule 8)
_NOTHING: Final = 4  # the response is complete

_PREFIX: Final = b"HTTP/1."
_CODING: Final = b"transfer-encoding"
_HOP: Final = frozenset((b"connection", b"transfer-encoding"))

END: Final = EndOfMessage()
"""The end of a message without trailers."""
WHOLE: Final = EndOfMessage()
"""The end of a response that arrived in one read, as most small ones do: its body is in the response, which
is the only other event."""

MOST_AT_ONCE: Final = 32
"""Interim responses that are read at a time."""
PIECE: Final = 32 * 1024
"""Bytes in chunked coding that are read at a time."""


def _read_head(head: bytes) -> tuple[Response, bool, int]:
    """Read a head, without the empty line at its end.

    :returns: the response, whether the connection stays open, and the length of the body if only that
        determines its end, else -1.
    :raises Malformed: it is invalid.
    """
    if (plain := read_plain_response(head)) is None:
        return _read_odd_head(head)
    status, reason, keys, lines, length, reusable, counted = plain
    if len(keys) > RESPONSE_LIMITS.fields:
        raise Malformed("too many header fields")
    headers = make_headers(keys, lines)
    return make_response(status, reason, headers, length, b"", True), reusable, counted


def _read_odd_head(head: bytes) -> tuple[Response, bool, int]:
    """Do the same as ``_read_head``, with a closer look."""
    lines = head.split(b"\r\n")
    status, reason, reusable = read_status_line(lines.pop(0))
    if len(lines) > RESPONSE_LIMITS.fields:
        raise Malformed("too many header fields")
    headers = read_response_fields(head, lines)
    coded = False
    if not _HOP.isdisjoint(headers.keys):
        coded = _CODING in headers.keys
        options = connection_options(headers)
        # HTTP/1.0 has no codings (RFC 9112, 6.1).
        reusable = b"close" not in options and (
            reusable or (b"keep-alive" in options and not coded)
        )
        drop_listed(headers, options)
    length = read_length(headers)
    response = make_response(status, reason, headers, length, b"", True)
    if length is None or coded or status < 200 or status in NO_BODY:
        return response, reusable, -1
    return response, reusable, length


class ResponseDecoder:
    """Reads the bytes of one upstream connection as the response to one request at a time.

    ``expect`` announces a request, ``feed`` returns the events that the bytes of its response complete. After
    the ``EndOfMessage``, ``reusable`` is whether another request may be sent.
    """

    __slots__ = (
        "_chunked",
        "_interim_bytes",
        "_method",
        "_reading",
        "_remaining",
        "_unread",
        "_upgrade",
        "in_pieces",
        "left",
        "reusable",
    )

    def __init__(self) -> None:
        self._chunked: ChunkedDecoder | None = None
        self._remaining = 0
        self.in_pieces = False
        """Return data of a tunnel in small pieces; its connection serves no other request."""
        self.expect("GET")

    def expect(self, method: str, upgrade: str = "") -> None:
        """Prepare for the response to a request with this method.

        :param upgrade: the protocol that the upstream may switch to: 101 is then a final head.
        """
        self._method = method
        self._upgrade = upgrade
        self._reading = _HEAD
        self._unread = b""
        self._interim_bytes = 0
        self.left = b""
        """Bytes not processed yet: this much work is done in the next call of ``feed``."""
        self.reusable = False

    @property
    def untouched(self) -> bool:
        """Whether no byte of the response has arrived."""
        return self._reading == _HEAD and not self._unread and not self._interim_bytes

    def feed(self, data: bytes) -> list[Event]:
        """Handle received bytes; return the events they complete.

        One read can contain thousands of interim heads and chunks. Then only the first ones are processed,
        and the others are ``left``.

        :raises UpstreamError: the upstream broke the protocol.
        """
        events: list[Event] = []
        if self.left:
            data, self.left = self.left + data, b""
        try:
            if self._reading == _HEAD:
                data = self._read_heads(self._unread + data if self._unread else data, events)
            if data:
                self._read_body(data, events)
        except Malformed as error:
            self.reusable = False
            raise UpstreamError(f"broke the protocol: {error}") from None
        return events

    def eof(self) -> list[Event]:
        """Handle the end of the connection; return the events it completes.

        :raises UpstreamError: the response is incomplete.
        """
        if self._reading == _UNTIL_CLOSE:
            self._reading = _NOTHING
            return [END]
        if self._reading == _NOTHING:
            return []
        if self._reading == _HEAD:
            raise UpstreamError("closed the connection unanswered", untouched=self.untouched)
        raise UpstreamError("closed the connection in the middle of its response")

    def _read_heads(self, data: bytes, events: list[Event]) -> bytes:
        """Read interim heads and the final one; return the data after it."""
        while (end := data.find(END_OF_HEAD)) >= 0:
            if end + self._interim_bytes > RESPONSE_LIMITS.size:
                raise Malformed("response head too large")
            response, self.reusable, length = _read_head(data[:end])
            data = data[end + 4 :]
            events.append(response)
            if len(data) == length and self._method != "HEAD" and not self._interim_bytes:
                self._unread = b""
                self._reading = _NOTHING
                set_unchecked(response, "body", data)
                events.append(WHOLE)
                return b""
            status = response.status
            if status >= 200:
                self._unread = b""
                self._begin_body(response, response.content_length, events)
                return data
            if status == 101 and self._upgrade:
                self._unread = b""
                self._reading, self.reusable = _UNTIL_CLOSE, False
                return data
            if status == 101:
                raise Malformed("switched protocols without being asked")
            self._interim_bytes += end + 4
            if len(events) >= MOST_AT_ONCE:
                self.left, self._unread = data, b""
                return b""
        if len(data) + self._interim_bytes > RESPONSE_LIMITS.size:
            raise Malformed("response head too large")
        if data[:7] != _PREFIX[: len(data)] or has_bare_lf(data):
            raise Malformed("no HTTP/1 response")
        self._unread = data
        return b""

    def _begin_body(self, response: Response, length: int | None, events: list[Event]) -> None:
        if _CODING in response.headers.keys:
            self._begin_coded_body(response, length, events)
        elif length == 0 or self._method == "HEAD" or response.status in NO_BODY:
            self._end(events)
        elif length is None:
            self._reading, self.reusable = _UNTIL_CLOSE, False
        else:
            self._reading, self._remaining = _COUNTED, length

    def _begin_coded_body(
        self, response: Response, length: int | None, events: list[Event]
    ) -> None:
        if length is not None:
            raise Malformed("both a length and a coding")
        if self._method == "HEAD" or response.status in NO_BODY:
            self._end(events)
            return
        codings = [coding.lower() for coding in response.headers.find_all(_CODING)]
        if codings != [b"chunked"]:
            raise Malformed("unknown transfer coding")
        self._reading = _CHUNKED
        if self._chunked is None:
            self._chunked = ChunkedDecoder(RESPONSE_LIMITS.fields)
        self._chunked.begin()

    def _read_body(self, data: bytes, events: list[Event]) -> None:
        reading = self._reading
        if reading == _COUNTED:
            remaining = self._remaining - len(data)
            if remaining < 0:
                data, self.reusable = data[:remaining], False  # the data after it is not ours
            events.append(data)
            if remaining > 0:
                self._remaining = remaining
            else:
                self._end(events)
        elif reading == _CHUNKED:
            self._read_chunks(data, events)
        elif reading == _UNTIL_CLOSE:
            if self.in_pieces and len(data) > TUNNEL_PIECE:
                data, self.left = data[:TUNNEL_PIECE], data[TUNNEL_PIECE:]
            events.append(data)
        elif not events:
            raise Malformed("bytes after its response")
        else:
            self.reusable = False  # the response is complete; the data after it is not ours

    def _read_chunks(self, data: bytes, events: list[Event]) -> None:
        decoder = self._chunked
        assert decoder is not None
        if len(data) > PIECE:
            data, self.left = data[:PIECE], data[PIECE:]
        body, used = decoder.feed(data)
        if body:
            events.append(body)
        if not decoder.complete:
            return
        self._end(events, decoder.take_trailers())
        if used < len(data) or self.left:
            self.reusable, self.left = False, b""

    def _end(self, events: list[Event], trailers: Headers | None = None) -> None:
        self._reading = _NOTHING
        events.append(END if trailers is None else EndOfMessage(trailers))
