"""Reading responses of HTTP/1.1 (RFC 9112), without IO.

llhttp reads heads and chunked coding. Bodies of known length, and bodies that end with the
connection, are only counted once their first bytes have been seen.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import httptools

from pingap.errors import BadRequest, UpstreamError
from pingap.messages import Field, Headers, Response
from pingap.protocol.events import RESPONSE_LIMITS, ChunkOverhead, EndOfMessage
from pingap.protocol.fields import check_trailers, connection_options, drop_listed

Event: TypeAlias = Response | bytes | EndOfMessage

_FRAMING: Final = frozenset((b"content-length", b"transfer-encoding", b"connection"))


# What the next bytes are. (Plain integers: looking up an enum member costs as much as parsing a
# header field.)
_HEAD: Final = 0  # an interim or final head
_PARSED: Final = 1  # a body that llhttp reads
_COUNTED: Final = 2  # a body of known length
_UNTIL_CLOSE: Final = 3  # a body that ends with the connection (RFC 9112, 6.3, rule 8)
_NOTHING: Final = 4  # the answer is complete


_END: Final = EndOfMessage()


class ResponseDecoder:
    """The bytes of one upstream connection, read as the answer to one request at a time.

    ``expect`` announces a request, ``feed`` returns the events that its answer's bytes complete.
    After the ``EndOfMessage``, ``reusable`` tells whether another request may be sent.
    """

    __slots__ = (
        "_chunked",
        "_chunks",
        "_events",
        "_fault",
        "_fields",
        "_head_bytes",
        "_method",
        "_overhead",
        "_parser",
        "_reading",
        "_reason",
        "_remaining",
        "reusable",
    )

    def __init__(self) -> None:
        self._parser: httptools.HttpResponseParser | None = None
        self.expect("GET")

    def expect(self, method: str) -> None:
        """Prepare for the answer to a request with this method."""
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._method = method
        self._reading = _HEAD
        self._events: list[Event] = []
        self._fields: list[Field] = []
        self._reason = b""
        self._head_bytes = 0
        self._remaining = 0
        self._chunked = False
        self._chunks = 0
        self._fault = ""
        self.reusable = False

    # What llhttp calls back. An interim head and the final one may come in one read.

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        status = parser.get_status_code()
        fields, self._fields = self._fields, []
        reason, self._reason = self._reason, b""
        length: int | None = None
        options: list[bytes] = []
        for key, _, value in fields:
            if key in _FRAMING:
                if key == b"content-length":
                    length = int(value)
                elif key == b"connection":
                    options.append(value)
                else:
                    self._chunked = value.lower() == b"chunked"
                    self._fault = "" if self._chunked else "unknown transfer coding"
        if options:
            fields = drop_listed(fields, connection_options(options))
        self._events.append(Response.from_upstream(status, reason, Headers(fields), length))
        if status >= 200:
            self._begin_body(status, length)

    def _begin_body(self, status: int, length: int | None) -> None:
        assert self._parser is not None
        self.reusable = self._parser.should_keep_alive()
        if self._method == "HEAD" or status in (204, 304):
            self._reading = _NOTHING
        elif self._chunked:
            self._reading, self._overhead = _PARSED, ChunkOverhead()
        elif length is None:
            self._reading = _UNTIL_CLOSE
        else:
            self._reading, self._remaining = _COUNTED, length

    def on_body(self, chunk: bytes) -> None:
        self._events.append(chunk)
        self._remaining -= len(chunk)

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_message_complete(self) -> None:
        if _HEAD < self._reading < _UNTIL_CLOSE:
            self._end(self._fields)

    def _end(self, trailers: list[Field]) -> None:
        self._reading = _NOTHING
        self._events.append(EndOfMessage(Headers(trailers)) if trailers else _END)

    # What the connection calls.

    @property
    def untouched(self) -> bool:
        """True if no byte of the answer has come."""
        return self._reading == _HEAD and not self._head_bytes

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes as they came; return the events they complete.

        :raises UpstreamError: the upstream broke the protocol.
        """
        if self._parser is None:
            self._count(data)
        else:
            self._parse(data)
        events, self._events = self._events, []
        return events

    def eof(self) -> list[Event]:
        """Take the end of the connection; return the events it completes.

        :raises UpstreamError: the answer is not complete.
        """
        if self._reading == _UNTIL_CLOSE:
            self._end([])
            events, self._events = self._events, []
            return events
        if self._reading == _NOTHING:
            return []
        if self._reading == _HEAD:
            raise UpstreamError("closed the connection unanswered", untouched=self.untouched)
        raise UpstreamError("closed the connection in the middle of its response")

    def _parse(self, data: bytes) -> None:
        before = self._reading
        if before == _NOTHING:
            raise UpstreamError("sent bytes after its response")
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fault = "changed the protocol without being asked"
        except httptools.HttpParserError as error:
            self._fault = str(error)
        if self._fault:
            if self._reading != _NOTHING:
                raise UpstreamError(f"broke the protocol: {self._fault}")
            self.reusable = False  # the answer is whole; what follows it is not ours
        if self._chunked:
            self._check_chunks(len(data))
        if before == _HEAD:
            self._check_head(len(data))

    def _check_head(self, received: int) -> None:
        """Look at what a read brought that began in a head."""
        if self._reading == _HEAD:
            self._head_bytes += received
            limits = RESPONSE_LIMITS
            if self._head_bytes > limits.size or len(self._fields) > limits.fields:
                raise UpstreamError("broke the protocol: response head too large")
        elif self._reading == _NOTHING:
            if self._events[-1] is not _END and not isinstance(self._events[-1], EndOfMessage):
                self._end_without_body()
        elif self._reading != _PARSED:
            self._parser = None  # the rest is counted, and llhttp would wait for it

    def _end_without_body(self) -> None:
        """End an answer that has no body whatever its head says (RFC 9112, 6.3, rule 1)."""
        bodyless = [event for event in self._events if type(event) is not bytes]
        if len(bodyless) < len(self._events):
            self._events, self.reusable = bodyless, False
        self._parser = None  # llhttp does not know the method and waits for a body
        self._end([])

    def _check_chunks(self, received: int) -> None:
        body = sum(len(event) for event in self._events if type(event) is bytes)
        if not self._overhead.count(received, body, self._chunks):
            raise UpstreamError("broke the protocol: too much chunk overhead")
        self._chunks = 0
        if self._reading == _NOTHING and isinstance(last := self._events[-1], EndOfMessage):
            try:
                check_trailers(last.trailers.fields if last.trailers else [])
            except BadRequest as error:
                raise UpstreamError(f"broke the protocol: {error}") from None

    def _count(self, data: bytes) -> None:
        if self._reading == _UNTIL_CLOSE:
            self._events.append(data)
            return
        if self._reading != _COUNTED:
            raise UpstreamError("sent bytes after its response")
        remaining = self._remaining
        if len(data) > remaining:
            data, self.reusable = data[:remaining], False
        self._events.append(data)
        self._remaining = remaining - len(data)
        if not self._remaining:
            self._end([])
