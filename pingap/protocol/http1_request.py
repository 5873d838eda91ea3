"""Reading requests of HTTP/1.1 (RFC 9112), without IO.

llhttp (through httptools) reads heads and chunked coding, strictly. Bodies of known length are
only counted: their bytes pass unseen. What llhttp lets pass and we do not is checked here.
"""

from __future__ import annotations

import re
from typing import Final

import httptools

from pingap.errors import BadRequest
from pingap.messages import Field, Headers, Request
from pingap.protocol.events import ChunkOverhead, EndOfMessage, HeadLimits
from pingap.protocol.fields import check_trailers, connection_options, drop_listed, parse_host

_END_OF_HEAD: Final = b"\r\n\r\n"
_CR: Final = 13
_SLASH: Final = 47
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ ")
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://(?P<authority>[^/?#@]+)(?P<rest>[/?].*)?")
_FRAMING: Final = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"connection", b"expect")
)


# What the next bytes are: a head, a body of known length, a body in chunked coding.
# (Plain integers: looking up an enum member costs as much as parsing a header field.)
_HEAD: Final = 0
_COUNTED: Final = 1
_CHUNKED: Final = 2


class RequestDecoder:
    """The bytes of one client connection, read as requests, one event at a time.

    ``feed`` takes bytes; ``next`` returns the next event: a ``Request``, a body chunk, an
    ``EndOfMessage`` (only after a request with a body), or None if more bytes are needed.
    Further requests that are already here stay unread bytes until they are asked for.

    :param limits: sizes of a head.
    """

    __slots__ = (
        "_body",
        "_chunks",
        "_complete",
        "_fields",
        "_limits",
        "_overhead",
        "_parser",
        "_reading",
        "_remaining",
        "_seen",
        "_tail",
        "_target",
        "unread",
    )

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._reading = _HEAD
        self.unread = b""
        """What was fed and not yet turned into an event."""
        self._seen = 0  # bytes of unread that are known to hold no end of a head
        self._remaining = 0  # bytes of a counted body
        self._tail = b""  # last bytes given to llhttp, which may begin an empty line
        self._overhead = ChunkOverhead()
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._fields: list[Field] = []
        self._body: list[bytes] = []
        self._chunks = 0
        self._complete = False

    # What llhttp calls back.

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), name, value))

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_body(self, chunk: bytes) -> None:
        self._body.append(chunk)

    def on_message_complete(self) -> None:
        self._complete = True

    # What the connection calls.

    @property
    def in_head(self) -> bool:
        """True if a head has begun and is not complete."""
        return self._reading == _HEAD and bool(self.unread)

    def feed(self, data: bytes) -> None:
        """Take bytes as they came."""
        self.unread = self.unread + data if self.unread else data

    def next(self) -> Request | bytes | EndOfMessage | None:
        """Return the next event, or None if it is not complete yet.

        :raises BadRequest: the client broke the protocol; nothing more can be read.
        """
        if self._reading == _HEAD:
            return self._next_head() if self.unread else None
        if self._reading == _COUNTED:
            return self._next_counted()
        return self._next_chunked()

    def _next_head(self) -> Request | None:
        unread = self.unread
        if unread[0] == _CR:
            self.unread = unread = _without_empty_lines(unread)
        end = unread.find(_END_OF_HEAD, self._seen)
        if end < 0:
            self._check_size(unread, unread.find(b"\r\n"))
            if _BARE_LF.search(unread):
                raise BadRequest("Line without CR")
            self._seen = max(0, len(unread) - 3)
            return None
        self._seen = 0
        end += 4
        if end == len(unread):
            head, self.unread = unread, b""
        else:
            head, self.unread = unread[:end], unread[end:]
        return self._parse_head(head)

    def _check_size(self, head: bytes, request_line: int) -> None:
        limits = self._limits
        size = len(head)
        if size > limits.request_line and not 0 <= request_line <= limits.request_line:
            raise BadRequest("Request line too long", 414)
        if size > limits.size:
            raise BadRequest("Request head too large", 431)

    def _parse_head(self, head: bytes) -> Request:
        if len(head) > self._limits.request_line:
            self._check_size(head, head.find(b"\r\n"))
        self._target = b""
        self._complete = False
        parser = self._parser
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            # An offer to change the protocol that is not taken up; llhttp would wait for it.
            self._parser = httptools.HttpRequestParser(self)
        except httptools.HttpParserError as error:
            raise _refusal(error, head) from None
        fields, self._fields = self._fields, []  # from here on llhttp reports trailers
        if len(fields) > self._limits.fields:
            raise BadRequest("Too many header fields", 431)
        if b" \r\n" in head or b"\t\r\n" in head:
            fields = [(key, name, value.rstrip(b" \t")) for key, name, value in fields]
        method, target = parser.get_method(), self._target
        # llhttp lets several spaces pass before the target (RFC 9112, 3): look where it must end.
        version = "1.1"
        if not head.startswith(b" HTTP/1.1\r", len(method) + len(target) + 1):
            version = _other_version(head, len(method) + len(target) + 1)
        request = _request(method, target, version, fields)
        if request.chunked:
            self._reading, self._overhead = _CHUNKED, ChunkOverhead()
        elif request.content_length:
            self._reading, self._remaining = _COUNTED, request.content_length
        return request

    def _next_counted(self) -> bytes | EndOfMessage | None:
        if not self._remaining:
            # llhttp still waits for the bytes that were only counted.
            self._parser = httptools.HttpRequestParser(self)
            return self._end()
        chunk, self.unread = self.unread[: self._remaining], self.unread[self._remaining :]
        self._remaining -= len(chunk)
        return chunk or None

    def _next_chunked(self) -> bytes | EndOfMessage | None:
        """Give llhttp slices that end at an empty line.

        A chunked message ends at an empty line and nowhere else, so no slice can hold the end of
        this message and the beginning of the next one.
        """
        while not self._complete and self.unread:
            known = len(self._tail)
            end = (self._tail + self.unread).find(_END_OF_HEAD)
            cut = end + 4 - known if end >= 0 else len(self.unread)
            piece, self.unread = self.unread[:cut], self.unread[cut:]
            self._tail = (self._tail + piece)[-3:] if end < 0 else b""
            if chunk := self._feed_chunked(piece):
                return chunk
        if not self._complete:
            return None
        self._tail = b""
        return self._end()

    def _feed_chunked(self, piece: bytes) -> bytes:
        self._chunks = 0
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserError as error:
            raise BadRequest(f"Malformed chunked body: {error}") from None
        body, self._body = b"".join(self._body), []
        if not self._overhead.count(len(piece), len(body), self._chunks):
            raise BadRequest("Too much chunk overhead")
        return body

    def _end(self) -> EndOfMessage:
        self._reading = _HEAD
        trailers, self._fields = self._fields, []
        return EndOfMessage(check_trailers(trailers) if trailers else None)


def _without_empty_lines(unread: bytes) -> bytes:
    """Skip empty lines before a request (RFC 9112, 2.2)."""
    start = 0
    while unread.startswith(b"\r\n", start):
        start += 2
    return unread[start:]


def _other_version(head: bytes, end_of_target: int) -> str:
    """Return the version of a request line that is not plainly HTTP/1.1.

    :raises BadRequest: a version that we do not speak, or a malformed line.
    """
    if head.startswith(b" HTTP/1.0\r", end_of_target):
        return "1.0"
    if head.startswith(b" HTTP/", end_of_target):
        raise BadRequest("HTTP version not supported", 505)
    raise BadRequest("Malformed request line")


def _refusal(error: httptools.HttpParserError, head: bytes) -> BadRequest:
    if isinstance(error, httptools.HttpParserInvalidMethodError) and _METHOD.match(head):
        return BadRequest("Method not implemented", 501)
    return BadRequest(f"Malformed request: {error}")


def _request(method: bytes, target: bytes, version: str, fields: list[Field]) -> Request:
    """Build the request of a head that llhttp accepted.

    :raises BadRequest: what llhttp does not look at: host, target, coding, expectation.
    """
    host: bytes | None = None
    length, chunked, expects = 0, False, False
    keep_alive = version == "1.1"
    options: list[bytes] = []
    for key, _, value in fields:
        if key not in _FRAMING:
            continue
        if key == b"host":
            if host is not None:
                raise BadRequest("More than one Host header")
            host = value
        elif key == b"content-length":
            length = int(value)
        elif key == b"transfer-encoding":
            # A coding we cannot undo would reach the upstream as something else (RFC 9112, 6.1).
            if value.lower() != b"chunked" or version == "1.0":
                raise BadRequest("Transfer-Encoding must be exactly chunked")
            chunked = True
        elif key == b"connection":
            options.append(value)
        elif value.lower() == b"100-continue":
            expects = version == "1.1"
        else:
            raise BadRequest("Unknown expectation", 417)
    if options:
        wanted = connection_options(options)
        keep_alive = b"close" not in wanted and (keep_alive or b"keep-alive" in wanted)
        fields = drop_listed(fields, wanted)
    if target[0] != _SLASH:
        target, host, fields = _absolute_target(method, target, host, fields)
    if host is None and version == "1.1":
        raise BadRequest("Missing Host header")
    if b"#" in target:
        raise BadRequest("Fragment in request target")
    request = Request(
        method.decode("ascii"),
        target.decode("ascii"),
        Headers(fields),
        parse_host(host) if host else "",
        version,
    )
    request.keep_alive = keep_alive
    if chunked or length:
        request.content_length = length
        request.chunked = chunked
        request.expects_continue = expects
    return request


def _absolute_target(
    method: bytes, target: bytes, host: bytes | None, fields: list[Field]
) -> tuple[bytes, bytes | None, list[Field]]:
    """Turn a target that does not begin with a slash into one that does (RFC 9112, 3.2).

    The host of an absolute target replaces the ``Host`` field.
    """
    if target == b"*" and method == b"OPTIONS":
        return target, host, fields
    if method == b"CONNECT":
        raise BadRequest("CONNECT is not supported", 501)
    if not (match := _ABSOLUTE.fullmatch(target)):
        raise BadRequest("Invalid request target")
    authority, rest = match["authority"], match["rest"] or b"/"
    parse_host(authority)
    fields = [one for one in fields if one[0] != b"host"]
    fields.insert(0, (b"host", b"Host", authority))
    return (rest if rest.startswith(b"/") else b"/" + rest), authority, fields
