"""Writing heads, chunks and trailers of HTTP/1.1 (RFC 9112).

We always write the framing ourselves: framing fields from the other side are dropped and written again.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import compress, repeat
from typing import Final

from pingap.http.headers import Headers
from pingap.http.request import Request
from pingap.http.response import REASONS, Response
from pingap.protocol.fields import NEVER_FORWARDED, announced_trailers, takes_trailers

LAST_CHUNK: Final = b"0\r\n\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

# ``TE`` concerns one hop, and must be listed in ``Connection`` (RFC 9110, 10.1.4).
_TAKES_TRAILERS: Final = (b"Connection: TE", b"TE: trailers")

# Methods whose requests must state that they have no body (RFC 9110, 8.6).
_EXPECT_BODY: Final = frozenset(("POST", "PUT", "PATCH"))


_STATUS_LINES: Final = {
    (status, reason): b"HTTP/1.1 %d %b" % (status, phrase)
    for status, phrase in REASONS.items()
    for reason in (None, phrase)
}


def _status_line(response: Response) -> bytes:
    status, reason = response.status, response.reason
    return _STATUS_LINES.get((status, reason)) or b"HTTP/1.1 %d %b" % (status, reason or b"")


# Called by ``map`` for each field: a loop in Python would take longer.
_is_forwarded: Final = dict.fromkeys(NEVER_FORWARDED, False).get
_EVERY: Final = repeat(True)
_all_are_forwarded: Final = NEVER_FORWARDED.isdisjoint


def _lines(first: bytes, headers: Headers) -> list[bytes]:
    """Return the lines of a head, without hop-by-hop and framing fields."""
    keys = headers.keys
    if _all_are_forwarded(keys):
        return [first, *headers.lines]
    return [first, *compress(headers.lines, map(_is_forwarded, keys, _EVERY))]


def request_head(
    request: Request, headers: Headers, length: int | None, default_host: str
) -> bytes:
    """Return the head of a request to an upstream.

    :param headers: the fields to send; hop-by-hop fields are omitted.
    :param length: bytes of the body; None for a chunked body.
    :param default_host: the ``Host`` of a request without one (HTTP/1.0).
    """
    keys = headers.keys
    first = f"{request.method} {request.target} HTTP/1.1".encode("latin-1")
    usual = _all_are_forwarded(keys)
    lines = [first, *headers.lines] if usual else _lines(first, headers)
    if b"host" not in keys:
        lines.insert(1, b"Host: " + default_host.encode("ascii"))  # first (RFC 9110, 7.2)
    if length is None:
        lines.append(b"Transfer-Encoding: chunked")
        _add_trailer(lines, headers)
    elif length or request.method in _EXPECT_BODY or (not usual and b"content-length" in keys):
        lines.append(b"Content-Length: %d" % length)
    if request.upgrade:
        lines += _upgrade(request.upgrade)
    elif not usual and b"te" in keys and takes_trailers(headers):
        lines += _TAKES_TRAILERS
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def _add_trailer(lines: list[bytes], headers: Headers) -> None:
    """Announce trailers like the other side; only a chunked body has any (RFC 9110, 6.6.2)."""
    if b"trailer" in headers.keys and (line := announced_trailers(headers)):
        lines.append(line)


def _upgrade(protocol: str) -> tuple[bytes, bytes]:
    return b"Connection: upgrade", b"Upgrade: " + protocol.encode("latin-1")


def switching_head(response: Response, asked: str) -> bytes:
    """Return the head of 101: another protocol follows (RFC 9110, 15.2.2).

    :param asked: the protocols that the client requested, if the upstream does not name the chosen one.
    """
    lines = _lines(_status_line(response), response.headers)
    lines += _upgrade(response.headers.get("upgrade") or asked.partition(",")[0])
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def response_head(
    response: Response, length: int | None, *, chunked: bool, connection: bytes = b""
) -> bytes:
    """Return the head of a response to a client.

    :param length: value of ``Content-Length``; None to omit it.
    :param chunked: whether the body is sent in chunked coding.
    :param connection: value of ``Connection``, if one must be sent.
    """
    lines = _lines(_status_line(response), response.headers)
    if chunked:
        lines.append(b"Transfer-Encoding: chunked")
        _add_trailer(lines, response.headers)
    elif length is not None:
        lines.append(b"Content-Length: %d" % length)
    if response.status == 426 and (protocols := response.headers.find(b"upgrade")):
        lines.append(b"Upgrade: " + protocols)  # RFC 9110, 15.5.22
        connection = connection + b", upgrade" if connection else b"upgrade"
    if connection:
        lines.append(b"Connection: " + connection)
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def whole_response(response: Response, body: bytes) -> bytes:
    """Return a response with its whole body, on a connection that stays open."""
    first = _STATUS_LINES.get((response.status, response.reason)) or _status_line(response)
    lines = _lines(first, response.headers)
    lines += _content_length(len(body)), b"", body
    return b"\r\n".join(lines)


@lru_cache(maxsize=1024)
def _content_length(length: int) -> bytes:
    return b"Content-Length: %d" % length


def interim_head(head: Response) -> bytes:
    """Return an interim (1xx) response in the form that is passed on (RFC 9110, 15.2)."""
    lines = _lines(_status_line(head), head.headers)
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def chunk(data: bytes) -> bytes:
    """Return data as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Headers | None) -> bytes:
    """Return the end of a chunked body, with its trailers."""
    if trailers is None or not trailers.lines:
        return LAST_CHUNK
    return b"0\r\n" + b"\r\n".join(trailers.lines) + b"\r\n\r\n"
