"""Reading requests of HTTP/1.1 (RFC 9112), without IO.

What llhttp lets pass and we do not is checked here.
"""

from __future__ import annotations

import re
from typing import Final

import httptools

from pingap.errors import BadRequest
from pingap.messages import Headers, Request
from pingap.protocol.events import EndOfMessage, HeadLimits
from pingap.protocol.fields import check_trailers, connection_options, drop_listed, parse_host
from pingap.protocol.llhttp import BARE_LF, END_OF_HEAD, LlhttpReader, Malformed, strip_values

_CR: Final = 13
_SLASH: Final = 47
_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ ")
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://(?P<authority>[^/?#@]+)(?P<rest>[/?].*)?")
_FRAMING: Final = frozenset((b"content-length", b"transfer-encoding", b"connection", b"expect"))


# What the next bytes are: a head, a body of known length, a body in chunked coding.
# (Plain integers: looking up an enum member costs as much as parsing a header field.)
_HEAD: Final = 0
_COUNTED: Final = 1
_CHUNKED: Final = 2


class RequestDecoder(LlhttpReader):
    """The bytes of one client connection, read as requests, one event at a time.

    ``feed`` takes bytes; ``next`` returns the next event: a ``Request``, a body chunk, an
    ``EndOfMessage`` (only after a request with a body), or None if more bytes are needed.
    Further requests that are already here stay unread bytes until they are asked for.

    :param limits: sizes of a head.
    """

    __slots__ = ("_reading", "_remaining", "_seen", "_target", "unread")

    def __init__(self, limits: HeadLimits) -> None:
        super().__init__(limits)
        self._parser = httptools.HttpRequestParser(self)
        self._reading = _HEAD
        self.unread = b""
        """What was fed and not yet turned into an event."""
        self._seen = 0  # bytes of unread that are known to hold no end of a head
        self._remaining = 0  # bytes of a counted body
        self._target = b""

    def on_url(self, target: bytes) -> None:
        self._target += target

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
        if unread[0] == _CR and not self._seen:
            self.unread = unread = _without_empty_lines(unread)
        end = unread.find(END_OF_HEAD, self._seen)
        if end < 0:
            self._check_partial_head(unread)
            self._seen = max(0, len(unread) - 3)
            return None
        self._seen = 0
        end += 4
        if end == len(unread):
            head, self.unread = unread, b""
        else:
            head, self.unread = unread[:end], unread[end:]
        return self._parse_head(head)

    def _check_partial_head(self, head: bytes) -> None:
        """Refuse early what can no longer become a head."""
        if BARE_LF.search(head, max(0, self._seen - 1)):
            raise BadRequest("Line without CR")
        if len(head) > self._limits.request_line:
            self._check_size(head)

    def _check_size(self, head: bytes) -> None:
        limits = self._limits
        line = head.find(b"\r\n")
        if line < 0:
            line = len(head) - head.endswith(b"\r")
        if line > limits.request_line:
            raise BadRequest("Request line too long", 414)
        if len(head) > limits.size:
            raise BadRequest("Request head too large", 431)

    def _parse_head(self, head: bytes) -> Request:
        if len(head) > self._limits.request_line:
            self._check_size(head)
        if self._spoiled:
            self._spoiled, self._parser = False, httptools.HttpRequestParser(self)
        self._target = b""
        parser = self._parser
        upgrade = False
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            upgrade = True
        except httptools.HttpParserError as error:
            raise _refusal(error, head) from None
        pairs, self._pairs = self._pairs, []  # from here on llhttp reports trailers
        if len(pairs) > self._limits.fields:
            raise BadRequest("Too many header fields", 431)
        method, target = parser.get_method(), self._target
        # llhttp lets several spaces pass before the target (RFC 9112, 3): look where it must end.
        version = "1.1"
        if not head.startswith(b" HTTP/1.1\r", len(method) + len(target) + 1):
            version = _other_version(head, len(method) + len(target) + 1)
        request = _request(method, target, version, Headers.of(strip_values(head, pairs)))
        if b"proxy-connection" in request.headers.keys:
            self._spoiled = True
        if upgrade:
            self._ignore_upgrade(chunked=request.chunked)
        if request.chunked:
            self._reading = _CHUNKED
            self._begin_chunked()
        elif request.content_length:
            self._reading, self._remaining = _COUNTED, request.content_length
        return request

    def _ignore_upgrade(self, *, chunked: bool) -> None:
        """Go on with HTTP/1.1 after an offer to change the protocol; llhttp would wait for it."""
        self._parser = httptools.HttpRequestParser(self)
        if chunked:
            self._parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
            self._pairs = []

    def _next_counted(self) -> bytes | EndOfMessage | None:
        if not self._remaining:
            # llhttp still waits for the bytes that were only counted.
            self._parser = httptools.HttpRequestParser(self)
            self._reading = _HEAD
            return EndOfMessage()
        chunk, self.unread = self.unread[: self._remaining], self.unread[self._remaining :]
        self._remaining -= len(chunk)
        return chunk or None

    def _next_chunked(self) -> bytes | EndOfMessage | None:
        if not self._complete and self.unread:
            try:
                body, used = self._read_chunked(self.unread)
            except Malformed as error:
                raise BadRequest(f"Malformed {error}") from None
            self.unread = self.unread[used:]
            if body:
                return body
        if not self._complete:
            return None
        self._reading = _HEAD
        trailers = self._take_trailers()
        check_trailers(trailers)
        return EndOfMessage(trailers)


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


def _request(method: bytes, target: bytes, version: str, headers: Headers) -> Request:
    """Build the request of a head that llhttp accepted.

    :raises BadRequest: what llhttp does not look at: host, target, coding, expectation.
    """
    keys = headers.keys
    host = headers.find(b"host")
    if keys.count(b"host") > 1:
        raise BadRequest("More than one Host header")
    if host is None and version == "1.1":
        raise BadRequest("Missing Host header")
    if target[0] != _SLASH:
        target, host = _absolute_target(method, target, host, headers)
    if b"#" in target:
        raise BadRequest("Fragment in request target")
    request = Request(
        method.decode("ascii"),
        target.decode("ascii"),
        headers,
        parse_host(host) if host else "",
        version,
    )
    if version == "1.0" or not _FRAMING.isdisjoint(keys):
        _read_framing(request)
    return request


def _read_framing(request: Request) -> None:
    """Read what the head says of the body and the connection.

    :raises BadRequest: a coding we cannot undo, an expectation we do not know.
    """
    headers, modern = request.headers, request.http_version == "1.1"
    if (length := headers.find(b"content-length")) is not None:
        request.content_length = int(length)
    if (coding := headers.find(b"transfer-encoding")) is not None:
        # Another coding would reach the upstream as something else (RFC 9112, 6.1).
        if coding.lower() != b"chunked" or not modern:
            raise BadRequest("Transfer-Encoding must be exactly chunked")
        request.chunked = True
    if b"expect" in headers.keys:
        if any(one.lower() != b"100-continue" for one in headers.find_all(b"expect")):
            raise BadRequest("Unknown expectation", 417)
        request.expects_continue = modern and request.has_body
    options = connection_options(headers)
    request.keep_alive = b"close" not in options and (modern or b"keep-alive" in options)
    drop_listed(headers, options)


def _absolute_target(
    method: bytes, target: bytes, host: bytes | None, headers: Headers
) -> tuple[bytes, bytes | None]:
    """Turn a target that does not begin with a slash into one that does (RFC 9112, 3.2).

    The host of an absolute target replaces the ``Host`` field.
    """
    if target == b"*" and method == b"OPTIONS":
        return target, host
    if method == b"CONNECT":
        raise BadRequest("CONNECT is not supported", 501)
    if not (match := _ABSOLUTE.fullmatch(target)):
        raise BadRequest("Invalid request target")
    authority, rest = match["authority"], match["rest"] or b"/"
    if method == b"OPTIONS" and not match["rest"]:
        rest = b"*"  # (RFC 9112, 3.2.4)
    parse_host(authority)
    parse_host(host or b"")
    headers.replace((b"host", b"Host", authority))
    return (b"/" + rest if rest.startswith(b"?") else rest), authority
