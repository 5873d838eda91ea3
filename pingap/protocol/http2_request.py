"""Header lists of HTTP/2 as requests (RFC 9113, 8), without IO.

A list that breaks the rules of HTTP/2 is malformed: a stream error. What HTTP/1.1 would answer with
a status (a host that is none, a head that is too large) is answered with the same status here.
"""

from __future__ import annotations

import re
from typing import Final

from pingap.errors import BadRequest
from pingap.headers import TOKEN, Headers
from pingap.messages import Request
from pingap.protocol.events import HeadLimits
from pingap.protocol.fields import parse_host, read_length
from pingap.protocol.http1_head import Malformed
from pingap.protocol.http2_errors import PROTOCOL_ERROR, StreamError
from pingap.protocol.http2_fields import (
    HeaderList,
    check_no_connection_fields,
    field_lines,
    split,
)

_TARGET: Final = re.compile(rb"[\x21-\x7e]+")
_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*")  # (RFC 3986, 3.1)
_DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}
_PSEUDO: Final = frozenset((b":method", b":scheme", b":path", b":authority", b":protocol"))


class RequestHead:
    """A head that was read. The same one may become many requests, each with headers of its own.

    :param length: ``content-length``; None if there is none.
    :param refusal: what the request is answered with instead of being passed on.
    """

    __slots__ = (
        "host",
        "keys",
        "length",
        "lines",
        "method",
        "path",
        "query",
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
        self.keys = keys
        self.lines = lines
        self.refusal = refusal
        self.host = ""
        self.length: int | None = None
        self.upgrade = ""

    def request(self, *, ended: bool) -> Request:
        """Return a request with this head.

        :param ended: nothing follows the head.
        :raises StreamError: ``content-length`` says otherwise (RFC 9113, 8.1.1).
        """
        headers = Headers.of(self.keys.copy(), self.lines.copy())
        request = Request.of(self.method, self.target, self.path, self.query, headers)
        request.host = self.host
        request.http_version = "2.0"
        if self.upgrade:
            request.upgrade = self.upgrade  # what follows is no body
        elif ended:
            if self.length:
                raise StreamError(PROTOCOL_ERROR, "the body is shorter than its content-length")
        elif self.length is None or b"trailer" in self.keys:
            request.chunked = True  # in HTTP/1.1 only such a body has trailers
        else:
            request.content_length = self.length
        if not ended and b"expect" in self.keys:
            request.expects_continue = True
        return request


def read_head(fields: HeaderList, limits: HeadLimits) -> RequestHead:
    """Read the header list of a request.

    :raises StreamError: it is malformed.
    """
    try:
        pseudo, keys, lines = split(fields, _PSEUDO)
        return _read(pseudo, keys, lines, limits)
    except Malformed as error:
        raise StreamError(PROTOCOL_ERROR, str(error)) from None


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
        raise Malformed("te says something else than trailers")
    if keys.count(b"cookie") > 1:
        _join_cookies(keys, lines)
    head = RequestHead(method.decode("ascii"), target.decode("ascii"), keys, lines)
    authority = _find_host(pseudo.get(b":authority"), scheme, keys, lines)
    if protocol is not None:
        head.upgrade = "websocket"
    head.length = read_length(Headers.of(keys, lines))
    try:
        _check_sizes(head, limits)
        _check_odd(head)
        _check_protocol(protocol)
        head.host = _parse_authority(authority)
    except BadRequest as refusal:
        head.refusal = refusal
    return head


def _check_extended(method: bytes, pseudo: dict[bytes, bytes], keys: list[bytes]) -> bytes:
    """Check an extended CONNECT (RFC 8441, 4); return the method it has in HTTP/1.1."""
    if method != b"CONNECT" or b":authority" not in pseudo:
        raise Malformed(":protocol belongs to CONNECT, with an authority")
    if b"content-length" in keys or b"expect" in keys:
        raise Malformed("CONNECT has no body")
    return b"GET"


def _check_protocol(protocol: bytes | None) -> None:
    if protocol is not None and protocol.lower() != b"websocket":
        raise BadRequest("This protocol is not supported", 501)


def _join_cookies(keys: list[bytes], lines: list[bytes]) -> None:
    """Join the crumbs of ``cookie``: outside HTTP/2 there is one field (RFC 9113, 8.2.3)."""
    crumbs = [line[8:] for key, line in zip(keys, lines, strict=True) if key == b"cookie"]
    first = keys.index(b"cookie")
    lines[first] = b"cookie: " + b"; ".join(crumbs)
    for place in range(len(keys) - 1, first, -1):
        if keys[place] == b"cookie":
            del keys[place], lines[place]


def _find_host(
    authority: bytes | None, scheme: bytes, keys: list[bytes], lines: list[bytes]
) -> bytes | None:
    """Return the authority of a request, which ``host`` is made to say (RFC 9113, 8.3.1).

    :raises Malformed: ``host`` names another one.
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
    """Return an authority in the form that is compared (RFC 3986, 6.2.2.1 and 6.2.3)."""
    port = _DEFAULT_PORTS.get(scheme.lower(), b":")
    return authority.lower().removesuffix(port).removesuffix(b":")


def _parse_authority(authority: bytes | None) -> str:
    if authority is None:
        raise BadRequest("Missing Host header")
    return parse_host(authority)


def _check_sizes(head: RequestHead, limits: HeadLimits) -> None:
    """Hold the head to the limits of HTTP/1.1, counted as it would be written there.

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
    """Refuse what HTTP/1.1 refuses as well (``http1_request``)."""
    if "#" in head.target:
        raise BadRequest("Fragment in request target")
    if b"expect" in head.keys:
        expected = Headers.of(head.keys, head.lines).find_all(b"expect")
        if any(one.lower() != b"100-continue" for one in expected):
            raise BadRequest("Unknown expectation", 417)
