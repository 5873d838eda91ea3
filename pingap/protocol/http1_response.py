"""Reading responses of HTTP/1.1 (RFC 9112), without IO."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

import httptools

from pingap.errors import BadRequest, UpstreamError
from pingap.messages import Headers, Response
from pingap.protocol.events import RESPONSE_LIMITS, EndOfMessage
from pingap.protocol.fields import check_trailers, connection_options, drop_listed
from pingap.protocol.llhttp import BARE_LF, END_OF_HEAD, LlhttpReader, Malformed, strip_values

Event: TypeAlias = Response | bytes | EndOfMessage

# What the next bytes are. (Plain integers: looking up an enum member costs as much as parsing a
# header field.)
_HEAD: Final = 0  # an interim or final head
_COUNTED: Final = 1  # a body of known length
_CHUNKED: Final = 2  # a body in chunked coding
_UNTIL_CLOSE: Final = 3  # a body that ends with the connection (RFC 9112, 6.3, rule 8)
_NOTHING: Final = 4  # the answer is complete

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] [1-9][0-9][0-9](?: [\t\x20-\x7e\x80-\xff]*)?\r\n")
_PREFIX: Final = b"HTTP/1."
_ONE: Final = 49
_NO_OPTIONS: Final[frozenset[bytes]] = frozenset()
_END: Final = EndOfMessage()


class ResponseDecoder(LlhttpReader):
    """The bytes of one upstream connection, read as the answer to one request at a time.

    ``expect`` announces a request, ``feed`` returns the events that its answer's bytes complete.
    After the ``EndOfMessage``, ``reusable`` tells whether another request may be sent.
    """

    __slots__ = (
        "_interim_bytes",
        "_method",
        "_options",
        "_reading",
        "_reason",
        "_remaining",
        "_unread",
        "reusable",
    )

    def __init__(self) -> None:
        super().__init__(RESPONSE_LIMITS)
        self.expect("GET")

    def expect(self, method: str) -> None:
        """Prepare for the answer to a request with this method."""
        self._method = method
        self._reading = _HEAD
        self._unread = b""
        self._reason = b""
        self._interim_bytes = 0
        self._remaining = 0
        self.reusable = False

    def on_status(self, reason: bytes) -> None:
        self._reason = reason

    @property
    def untouched(self) -> bool:
        """True if no byte of the answer has come."""
        return self._reading == _HEAD and not self._unread and not self._interim_bytes

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes as they came; return the events they complete.

        :raises UpstreamError: the upstream broke the protocol.
        """
        events: list[Event] = []
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
        """Take the end of the connection; return the events it completes.

        :raises UpstreamError: the answer is not complete.
        """
        if self._reading == _UNTIL_CLOSE:
            self._reading = _NOTHING
            return [_END]
        if self._reading == _NOTHING:
            return []
        if self._reading == _HEAD:
            raise UpstreamError("closed the connection unanswered", untouched=self.untouched)
        raise UpstreamError("closed the connection in the middle of its response")

    def _read_heads(self, data: bytes, events: list[Event]) -> bytes:
        """Read interim heads and the final one; return what follows it."""
        self._unread = b""
        while True:
            end = data.find(END_OF_HEAD) + 4
            if end < 4:
                if len(data) + self._interim_bytes > RESPONSE_LIMITS.size:
                    raise Malformed("response head too large")
                if data[:7] != _PREFIX[: len(data)] or BARE_LF.search(data):
                    raise Malformed("no HTTP/1 response")
                self._unread = data
                return b""
            head, data = data[:end], data[end:]
            response = self._parse_head(head)
            events.append(response)
            if response.status >= 200:
                self._begin_body(response, events, modern=head[7] == _ONE)
                return data
            self._interim_bytes += end

    def _parse_head(self, head: bytes) -> Response:
        if len(head) + self._interim_bytes > RESPONSE_LIMITS.size:
            raise Malformed("response head too large")
        if not _STATUS_LINE.match(head):
            raise Malformed("malformed status line")
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._reason = b""
        self._complete = False
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            raise Malformed("changed the protocol without being asked") from None
        except httptools.HttpParserError as error:
            raise Malformed(str(error)) from None
        pairs, self._pairs = self._pairs, []
        if len(pairs) > RESPONSE_LIMITS.fields:
            raise Malformed("too many header fields")
        headers = Headers.of(strip_values(head, pairs))
        self._spoiled = b"proxy-connection" in headers.keys
        self._options = _NO_OPTIONS
        if b"connection" in headers.keys:
            self._options = connection_options(headers)
            drop_listed(headers, self._options)
        length = headers.find(b"content-length")
        status = self._parser.get_status_code()
        size = None if length is None else int(length)
        return Response.from_upstream(status, self._reason, headers, size)

    def _begin_body(self, response: Response, events: list[Event], *, modern: bool) -> None:
        headers = response.headers
        options = self._options
        self.reusable = b"close" not in options and (modern or b"keep-alive" in options)
        chunked = b"transfer-encoding" in headers.keys
        if self._method == "HEAD" or response.status in (204, 304):
            self._end(events)
        elif chunked:
            codings = [coding.lower() for coding in headers.find_all(b"transfer-encoding")]
            if codings != [b"chunked"]:
                raise Malformed("unknown transfer coding")
            self._reading = _CHUNKED
            self._begin_chunked()
        elif response.content_length is None:
            self._reading, self.reusable = _UNTIL_CLOSE, False
        elif response.content_length:
            self._reading, self._remaining = _COUNTED, response.content_length
        else:
            self._end(events)

    def _read_body(self, data: bytes, events: list[Event]) -> None:
        reading = self._reading
        if reading == _COUNTED:
            remaining = self._remaining
            if len(data) > remaining:
                data, self.reusable = data[:remaining], False  # what follows is not ours
            elif len(data) == remaining and len(events) == 1:
                self._keep_parser(data)
            events.append(data)
            self._remaining = remaining - len(data)
            if not self._remaining:
                self._end(events)
        elif reading == _CHUNKED:
            self._read_chunks(data, events)
        elif reading == _UNTIL_CLOSE:
            events.append(data)
        elif not events:
            raise Malformed("bytes after its response")
        else:
            self.reusable = False  # the answer is whole; what follows it is not ours

    def _keep_parser(self, body: bytes) -> None:
        """Show llhttp the body of a small answer, so that it is ready for the next head.

        (Making another parser costs more than reading a head.)
        """
        self._parser.feed_data(body)
        self._body.clear()

    def _read_chunks(self, data: bytes, events: list[Event]) -> None:
        body, used = self._read_chunked(data)
        if body:
            events.append(body)
        if not self._complete:
            return
        trailers = self._take_trailers()
        try:
            check_trailers(trailers)
        except BadRequest as error:
            raise Malformed(str(error)) from None
        self._end(events, trailers)
        if used < len(data):
            self.reusable = False

    def _end(self, events: list[Event], trailers: Headers | None = None) -> None:
        self._reading = _NOTHING
        events.append(_END if trailers is None else EndOfMessage(trailers))
        if self._spoiled or not self._complete:
            self._parser = None  # it waits for a body that was counted, or that never comes
