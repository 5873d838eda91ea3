"""Reading requests of HTTP/1.1 (RFC 9112), without IO."""

from __future__ import annotations

import re
import sys
from typing import Final

from pingap.http.errors import BadRequest
from pingap.http.headers import Headers, new_headers
from pingap.http.hosts import parse_host
from pingap.http.request import Request, new_request
from pingap.protocol.chunked import ChunkedDecoder
from pingap.protocol.events import TUNNEL_PIECE, EndOfMessage, HeadLimits
from pingap.protocol.fields import (
    connection_options,
    drop_listed,
    read_length,
)
from pingap.protocol.http1_head import (
    END_OF_HEAD,
    Malformed,
    has_bare_lf,
    plain_request_line,
    read_fields,
    read_request_line,
)
from pingap.protocol.own_fields import take_own
from pingap.protocol.plain_heads import NOTABLE
from pingap.protocol.readers import read_plain_request
from pingap.protocol.targets import read_path

_CR: Final = 13
_ABSOLUTE: Final = re.compile(
    r"(?i:https?)://(?P<authority>[^/?#@\x80-\xff]+)(?P<rest>[/?].*)?", re.DOTALL
)

# The kind of the next bytes: a head, a body of known length, a body in chunked coding. Plain integers,
# because looking up an enum member costs as much as parsing a header field.
_HEAD: Final = 0
_COUNTED: Final = 1
_CHUNKED: Final = 2
_TUNNEL: Final = 3  # another protocol, which is passed on unread


class RequestDecoder:
    """Reads the bytes of one client connection as requests, one event at a time.

    ``feed`` takes bytes; ``next`` returns the next event: a ``Request``, a body chunk, an ``EndOfMessage``
    (only after a request with a body), or None if more bytes are needed. Further requests stay unread until
    ``next`` is called for them.

    :param limits: limits of a head.
    """

    __slots__ = ("_chunked", "_in_pieces", "_limits", "_reading", "_remaining", "_seen", "unread")

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._reading = _HEAD
        self._chunked: ChunkedDecoder | None = None
        self._remaining = 0  # bytes of a counted body
        self._in_pieces = False  # the data of a tunnel
        self._seen = 0  # unread bytes that are known to contain no end of a head
        self.unread = b""
        """Bytes that have not been turned into an event yet."""

    @property
    def in_head(self) -> bool:
        """Whether a head has begun and is incomplete."""
        return self._reading == _HEAD and bool(self.unread)

    @property
    def wanted(self) -> int:
        """Number of bytes that can be handled as a single piece: those of a body, or of a tunnel."""
        if self._reading == _TUNNEL:
            return 0 if self._in_pieces else sys.maxsize
        return self._remaining if self._reading == _COUNTED else 0

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self.unread = self.unread + data if self.unread else data

    def read_plain(self, data: bytes) -> Request | None:
        """Return the request if the bytes are exactly one plain head without a body.

        Nearly all requests arrive like this. Only for bytes after a complete message; they must not be passed
        to ``feed`` then. Anything else is left to ``next``, which detects errors.
        """
        limits = self._limits
        if len(data) > limits.request_line or (plain := read_plain_request(data)) is None:
            return None
        method, target, path, query, host, keys, lines = plain
        if len(keys) > limits.fields:
            return None
        headers = new_headers(Headers)  # same as make_headers, but without a call
        headers.keys = keys
        headers.lines = lines
        request = new_request(Request)
        request.begin(method, target, path, query, host, headers)
        return request

    @property
    def at_body_end(self) -> bool:
        """Whether a counted body has been read, except for the ``EndOfMessage``."""
        return self._reading == _COUNTED and not self._remaining

    def next(self) -> Request | bytes | EndOfMessage | None:
        """Return the next event, or None if it is incomplete.

        :raises BadRequest: the client broke the protocol; nothing more can be read.
        """
        try:
            if self._reading == _HEAD:
                unread = self.unread
                end = unread.find(END_OF_HEAD, self._seen)
                if end > 0 and unread[0] != _CR:
                    self.unread = unread[end + 4 :]
                    return self._read_head(unread[:end])
                return self._next_odd_head() if unread else None
            if self._reading == _COUNTED:
                return self._next_counted()
            if self._reading == _CHUNKED:
                return self._next_chunked()
            return self._next_tunnelled()
        except Malformed as error:
            raise BadRequest(f"Malformed request: {error}") from None

    def _next_tunnelled(self) -> bytes | None:
        if self._in_pieces and len(self.unread) > TUNNEL_PIECE:
            data, self.unread = self.unread[:TUNNEL_PIECE], self.unread[TUNNEL_PIECE:]
            return data
        data, self.unread = self.unread, b""
        return data or None

    def begin_tunnel(self, *, in_pieces: bool = False) -> None:
        """Return all data from now on unchanged (RFC 9110, 7.8).

        :param in_pieces: return small pieces, because their content is read.
        """
        self._reading, self._in_pieces = _TUNNEL, in_pieces

    def _next_odd_head(self) -> Request | None:
        """Read a head after empty lines (RFC 9112, 2.2), or an incomplete one."""
        unread = self.unread
        if not self._seen and unread.startswith(b"\r\n"):
            start = 2
            while unread.startswith(b"\r\n", start):
                start += 2
            self.unread = unread[start:]
            event = self.next()
            assert event is None or isinstance(event, Request)
            return event
        if has_bare_lf(unread, max(0, self._seen - 1)):
            raise Malformed("line without CR")
        if unread[0] == _CR and len(unread) > 1:
            raise Malformed("malformed request line")
        self._check_size(unread)
        self._seen = max(0, len(unread) - 3)
        return None

    def _check_size(self, head: bytes) -> None:
        limits = self._limits
        if len(head) <= limits.request_line:
            return
        line = head.find(b"\r\n")
        if line < 0:
            line = len(head) - head.endswith(b"\r")
        if line > limits.request_line:
            raise BadRequest("Request line too long", 414)
        if len(head) > limits.size:
            raise BadRequest("Request head too large", 431)

    def _read_head(self, head: bytes) -> Request:
        """Read a head, given without the empty line at its end."""
        self._seen = 0
        limits = self._limits
        if len(head) + 4 > limits.request_line:
            self._check_size(head + END_OF_HEAD)
        lines = head.split(b"\r\n")
        if len(lines) - 1 > limits.fields:
            raise BadRequest("Too many header fields", 431)
        line = lines.pop(0).decode("latin-1")
        headers, plain = read_fields(head, lines)
        keys = headers.keys
        usual = plain_request_line(line)
        if usual is not None and keys.count(b"host") == 1:
            method, target, path, query = usual.groups("")
            host = parse_host(headers.lines[keys.index(b"host")][6:])
            request = new_request(Request)
            request.begin(method, target, path, query, host, headers)
        else:
            request = self._read_odd(line, headers)
        if not (plain and NOTABLE.isdisjoint(keys)):
            request.asks_timing = take_own(headers, keep_shadows=limits.keep_shadows)
            self._read_framing(request)
        elif request.http_version != "1.1":
            request.keep_alive = False
        return request

    def _read_odd(self, line: str, headers: Headers) -> Request:
        """Return a request whose first line needs a closer look, or that does not have exactly one ``Host``.

        :raises Malformed: the request line is invalid.
        :raises BadRequest: an invalid version, target or host.
        """
        method, target, version = read_request_line(line)
        request = Request(method, target, headers)
        request.http_version = _check_version(version)
        _read_odd_target(request)
        try:
            read_path(request, self._limits.paths)
        except BadRequest as refusal:
            refusal.request = request
            raise
        return request

    def _read_framing(self, request: Request) -> None:
        """Read the framing of the body and the options of the connection.

        :raises BadRequest: an unsupported coding or expectation.
        """
        headers, modern = request.headers, request.http_version == "1.1"
        length = read_length(headers)
        if b"transfer-encoding" in headers.keys:
            _check_coding(headers, framed_twice=length is not None or not modern)
            request.chunked = True
            self._reading = _CHUNKED
            if self._chunked is None:
                self._chunked = ChunkedDecoder(self._limits.fields)
            self._chunked.begin()
        elif length:
            request.content_length = self._remaining = length
            self._reading = _COUNTED
        if b"expect" in headers.keys:
            request.expects_continue = _expects_continue(headers) and modern and request.has_body
            if not request.expects_continue:
                headers.discard(b"expect")  # must not be sent without content (RFC 9110, 10.1.1)
        options = connection_options(headers)
        request.keep_alive = b"close" not in options and (modern or b"keep-alive" in options)
        if b"upgrade" in options and modern:
            request.upgrade = _wanted_protocols(headers)
        drop_listed(headers, options)

    def _next_counted(self) -> bytes | EndOfMessage | None:
        if not self._remaining:
            self._reading = _HEAD
            return EndOfMessage()
        chunk, self.unread = self.unread[: self._remaining], self.unread[self._remaining :]
        self._remaining -= len(chunk)
        return chunk or None

    def _next_chunked(self) -> bytes | EndOfMessage | None:
        decoder = self._chunked
        assert decoder is not None
        if not decoder.complete and self.unread:
            body, used = decoder.feed(self.unread)
            self.unread = self.unread[used:]
            if body:
                return body
        if not decoder.complete:
            return None
        self._reading = _HEAD
        return EndOfMessage(decoder.take_trailers())


def _check_coding(headers: Headers, *, framed_twice: bool) -> None:
    """Check that a body is in chunked coding, and nothing else.

    Another coding would reach the upstream as something else (RFC 9112, 6.1).

    :param framed_twice: there is other framing as well, or the client is too old for codings.
    :raises BadRequest: 501, there is another coding below; 400, the framing is ambiguous.
    """
    codings = b",".join(headers.find_all(b"transfer-encoding")).lower().split(b",")
    codings = [coding.strip(b" \t") for coding in codings]
    below, last = codings[:-1], codings[-1]
    if framed_twice or last != b"chunked" or b"chunked" in below or b"" in below:
        raise BadRequest("Transfer-Encoding must be exactly chunked, without a length")
    if below:
        raise BadRequest("Unknown transfer coding", 501)


def _expects_continue(headers: Headers) -> bool:
    """Return whether the client waits for 100 Continue.

    :raises BadRequest: 417, it expects something else.
    """
    expected = b",".join(headers.find_all(b"expect")).lower().split(b",")
    expectations = {one.strip(b" \t") for one in expected} - {b""}
    if not expectations <= {b"100-continue"}:
        raise BadRequest("Unknown expectation", 417)
    return bool(expectations)


def _wanted_protocols(headers: Headers) -> str:
    """Return the protocols in ``Upgrade`` that may be passed on; empty for none.

    HTTP/2 is not passed on in this way, because its requests would bypass all plugins (RFC 9113, 3.1, has
    removed it).
    """
    wanted = b",".join(headers.find_all(b"upgrade")).decode("latin-1").split(",")
    names = [name.strip(" \t") for name in wanted]
    return ", ".join(name for name in names if name.lower() not in ("", "h2c", "h2"))


def _check_version(version: str) -> str:
    """Return the version as which a request is read: ours, for later ones of HTTP/1 (RFC 9110, 6.2)."""
    if version[0] != "1":
        raise BadRequest("HTTP version not supported", 505)
    return "1.0" if version == "1.0" else "1.1"


def _read_odd_target(request: Request) -> None:
    """Read a request with no host or several, or whose target is not a path.

    :raises BadRequest: the request is invalid (RFC 9112, 3.2).
    """
    hosts = request.headers.find_all(b"host")
    if len(hosts) > 1:
        raise BadRequest("More than one Host header")
    if not hosts and request.http_version == "1.1":
        raise BadRequest("Missing Host header")
    if "#" in request.target:
        raise BadRequest("Fragment in request target")
    request.host = parse_host(hosts[0]) if hosts else ""
    if request.target[0] != "/" and not (request.target == "*" and request.method == "OPTIONS"):
        _read_absolute_target(request)


def _read_absolute_target(request: Request) -> None:
    """Turn an absolute target into a path; its host replaces the ``Host`` field."""
    if request.method == "CONNECT":
        raise BadRequest("CONNECT is not supported", 501)
    if not (match := _ABSOLUTE.fullmatch(request.target)):
        raise BadRequest("Invalid request target")
    authority, rest = match["authority"].encode("ascii"), match["rest"] or "/"
    if request.method == "OPTIONS" and not match["rest"]:
        rest = "*"  # RFC 9112, 3.2.4
    request.host = parse_host(authority)
    request.headers.replace((b"host", b"Host: " + authority))
    request.target = "/" + rest if rest.startswith("?") else rest
    request.path, _, request.query = request.target.partition("?")
