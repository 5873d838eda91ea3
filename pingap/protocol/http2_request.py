"""Header lists of HTTP/2 as requests (RFC 9113, 8), without IO.

A list that breaks the rules of HTTP/2 is malformed: a stream error. Errors for which HTTP/1.1 has a status
(an invalid host, a head that is too large) are answered with the same status here.
"""

from __future__ import annotations

import re
from itertools import compress
from typing import Final

from pingap.http.errors import BadRequest
from pingap.http.headers import TOKEN, make_headers
from pingap.http.hosts import parse_host
from pingap.http.request import Request, new_request
from pingap.protocol.events import HeadLimits
from pingap.protocol.fields import read_length
from pingap.protocol.http1_head import Malformed
from pingap.protocol.http2_errors import PROTOCOL_ERROR, StreamError
from pingap.protocol.http2_fields import (
    HeaderList,
    check_no_connection_fields,
    field_lines,
    list_size,
    split,
)
from pingap.protocol.own_fields import take_own
from pingap.protocol.targets import read_path

_TARGET: Final = re.compile(rb"[\x21-\x7e\x80-\xff]+")
_UNCOUNTED: Final = 64
"""Minimum number of bytes that a header list has in addition to an HTTP/1.1 head: pseudo-header names."""
_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*")  # RFC 3986, 3.1
_DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}
_PSEUDO: Final = frozenset((b":method", b":scheme", b":path", b":authority", b":protocol"))


class RequestHead:
    """A parsed head. It can be used for many requests, each with its own headers.

    :param length: ``content-length``; None if there is none.
    :param refusal: the response instead of passing the request on.
    """

    __slots__ = (
        "asks_timing",
        "host",
        "keys",
        "length",
        "lines",
        "method",
        "other_paths",
        "path",
        "path_danger",
        "query",
        "received_target",
        "refusal",
        "target",
        "upgrade",
    )

    def __init__(
        self,
        method: str,
        target: str,
        keys: list[bytes],
        lines: list[bytes],
        refusal: BadRequest | None = None,
    ) -> None:
        self.method = method
        self.target = target
        self.path, _, self.query = target.partition("?")
        self.other_paths: tuple[str, ...] = ()
        self.path_danger = self.received_target = ""
        self.keys = keys
        self.lines = lines
        self.refusal = refusal
        self.asks_timing = False
        self.host = ""
        self.length: int | None = None
        self.upgrade = ""

    def request(self, *, ended: bool) -> Request:
        """Return a request with this head.

        :param ended: whether the head is the end of the stream.
        :raises StreamError: this contradicts ``content-length`` (RFC 9113, 8.1.1).
        """
        headers = make_headers(self.keys.copy(), self.lines.copy())
        request = new_request(Request)
        request.begin(self.method, self.target, self.path, self.query, self.host, headers)
        request.http_version = "2.0"
        request.other_paths = self.other_paths
        request.path_danger = self.path_danger
        request.received_target = self.received_target
        request.asks_timing = self.asks_timing
        if self.upgrade:
            request.upgrade = self.upgrade  # the data after it is not a body
        elif ended:
            if self.length:
                raise StreamError(PROTOCOL_ERROR, "the body is shorter than its content-length")
        elif self.length is None or b"trailer" in self.keys:
            request.chunked = True  # in HTTP/1.1, only such a body has trailers
        else:
            request.content_length = self.length
        if b"expect" in self.keys:
            request.expects_continue = not ended
            if ended:
                headers.discard(b"expect")  # must not be sent without content (RFC 9110, 10.1.1)
        return request


def read_head(fields: HeaderList, limits: HeadLimits) -> RequestHead:
    """Read the header list of a request.

    :raises StreamError: it is malformed.
    """
    if list_size(fields) > limits.size + _UNCOUNTED:
        return _too_large(dict(fields), limits)
    try:
        pseudo, keys, lines = split(fields, _PSEUDO)
        return _read(pseudo, keys, lines, limits)
    except Malformed as error:
        raise StreamError(PROTOCOL_ERROR, str(error)) from None


def _too_large(fields: dict[bytes, bytes], limits: HeadLimits) -> RequestHead:
    """Reject a large head without examining all of it: a few bytes of a block can expand to a lot."""
    method, target = fields.get(b":method", b""), fields.get(b":path", b"")
    if not TOKEN.fullmatch(method) or not _TARGET.fullmatch(target):
        method = target = b"-"
    refusal = BadRequest("Request head too large", 431)
    if len(target) > limits.request_line:
        refusal = BadRequest("Request line too long", 414)
    return RequestHead(method.decode("ascii"), target.decode("ascii"), [], [], refusal)


def _read(
    pseudo: dict[bytes, bytes], keys: list[bytes], lines: list[bytes], limits: HeadLimits
) -> RequestHead:
    method, target = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
    if not TOKEN.fullmatch(method):
        raise Malformed("no method")
    protocol = pseudo.get(b":protocol")
    if method == b"CONNECT" and protocol is None:
        if len(pseudo) != 2 or b":authority" not in pseudo:
            raise Malformed("CONNECT has a method and an authority, nothing else (8.5)")
        return RequestHead("CONNECT", "-", keys, lines, BadRequest("CONNECT is not supported", 501))
    if protocol is not None:
        method = _check_extended(method, pseudo, keys)
    scheme = pseudo.get(b":scheme", b"")
    if not _TARGET.fullmatch(target) or not (scheme in _DEFAULT_PORTS or _SCHEME.fullmatch(scheme)):
        raise Malformed("no path or no scheme")
    if target[0] != 47 and not (target == b"*" and method == b"OPTIONS"):
        raise Malformed("a path begins with /")
    check_no_connection_fields(keys)
    if b"te" in keys and any(
        key == b"te" and line.lower() != b"te: trailers"
        for key, line in zip(keys, lines, strict=True)
    ):
        raise Malformed("te is something other than trailers")
    asks_timing = take_own(make_headers(keys, lines), keep_shadows=limits.keep_shadows)
    if keys.count(b"cookie") > 1:
        _join_cookies(keys, lines)
    head = RequestHead(method.decode("ascii"), target.decode("latin-1"), keys, lines)
    head.asks_timing = asks_timing
    authority = _find_host(pseudo.get(b":authority"), scheme, keys, lines)
    if protocol is not None:
        head.upgrade = "websocket"
    head.length = read_length(make_headers(keys, lines))
    try:
        _check_sizes(head, limits)
        _check_odd(head)
        _check_protocol(protocol)
        head.host = _parse_authority(authority)
        read_path(head, limits.paths)
    except BadRequest as refusal:
        head.refusal = refusal
    return head


def _check_extended(method: bytes, pseudo: dict[bytes, bytes], keys: list[bytes]) -> bytes:
    """Check an extended CONNECT (RFC 8441, 4); return the equivalent method in HTTP/1.1."""
    if method != b"CONNECT" or b":authority" not in pseudo:
        raise Malformed(":protocol belongs to CONNECT, with an authority")
    if b"content-length" in keys or b"expect" in keys:
        raise Malformed("CONNECT has no body")
    return b"GET"


def _check_protocol(protocol: bytes | None) -> None:
    if protocol is not None and protocol.lower() != b"websocket":
        raise BadRequest("This protocol is not supported", 501)


def _join_cookies(keys: list[bytes], lines: list[bytes]) -> None:
    """Join the pieces of ``cookie``: outside of HTTP/2 there is one field (RFC 9113, 8.2.3)."""
    crumbs = [line[8:] for key, line in zip(keys, lines, strict=True) if key == b"cookie"]
    first = keys.index(b"cookie")
    # Without empty ones: a value must not end with white space (RFC 9113, 8.2.1).
    lines[first] = b"cookie: " + b"; ".join(filter(None, crumbs))
    kept = [key != b"cookie" for key in keys]
    kept[first] = True
    lines[:] = compress(lines, kept)
    keys[:] = compress(keys, kept)


def _find_host(
    authority: bytes | None, scheme: bytes, keys: list[bytes], lines: list[bytes]
) -> bytes | None:
    """Return the authority of a request, and set ``host`` to it (RFC 9113, 8.3.1).

    :raises Malformed: ``host`` has another value.
    """
    number = keys.count(b"host")
    if number > 1:
        raise Malformed("more than one host")
    if not number:
        if authority is not None:
            keys.insert(0, b"host")
            lines.insert(0, field_lines[b"host", authority])
        return authority
    place = keys.index(b"host")
    host = lines[place][6:]
    if authority is None or authority == host:
        return host
    if _normalised(authority, scheme) != _normalised(host, scheme):
        raise Malformed("host and :authority differ")
    lines[place] = field_lines[b"host", authority]
    return authority


def _normalised(authority: bytes, scheme: bytes) -> bytes:
    """Return an authority in its normalised form (RFC 3986, 6.2.2.1 and 6.2.3)."""
    port = _DEFAULT_PORTS.get(scheme.lower(), b":")
    return authority.lower().removesuffix(port).removesuffix(b":")


def _parse_authority(authority: bytes | None) -> str:
    if authority is None:
        raise BadRequest("Missing Host header")
    return parse_host(authority)


def _check_sizes(head: RequestHead, limits: HeadLimits) -> None:
    """Apply the limits of HTTP/1.1 to the head, counted as it would be written there.

    :raises BadRequest: 414 or 431.
    """
    line = len(head.method) + len(head.target) + len("  HTTP/1.1")
    if line > limits.request_line:
        raise BadRequest("Request line too long", 414)
    if len(head.keys) > limits.fields:
        raise BadRequest("Too many header fields", 431)
    if line + sum(map(len, head.lines)) + 2 * len(head.lines) > limits.size:
        raise BadRequest("Request head too large", 431)


def _check_odd(head: RequestHead) -> None:
    """Reject what HTTP/1.1 rejects as well (``http1_request``)."""
    if "#" in head.target:
        raise BadRequest("Fragment in request target")
    if b"expect" in head.keys:
        expected = make_headers(head.keys, head.lines).find_all(b"expect")
        if any(one.lower() != b"100-continue" for one in expected):
            raise BadRequest("Unknown expectation", 417)
