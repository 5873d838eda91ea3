"""Plain HTTP/1.1 heads, which nearly all are, read with a few operations of Python, without IO.

A head is plain if each of its fields is written as ``name: value`` and nothing in it needs a closer look.
Other heads may be valid or invalid, which the decoders find out. ``readers`` selects the reader of plain
heads; this module is the reference for the others.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from pingap.http.errors import BadRequest
from pingap.http.hosts import parse_host
from pingap.protocol.fields import length_of
from pingap.protocol.http1_head import (
    END_OF_HEAD,
    Malformed,
    plain_fields,
    plain_request_line,
    read_status_line,
)
from pingap.protocol.own_fields import OWN

PlainRequest: TypeAlias = tuple[str, str, str, str, str, list[bytes], list[bytes]]
"""Method, target, path, query and host, for ``Request.begin``, and the two lists for ``make_headers``."""

PlainResponse: TypeAlias = tuple[int, bytes, list[bytes], list[bytes], int | None, bool, int]
"""Status and reason, the two lists for ``make_headers``, ``Content-Length`` or None, whether the connection
stays open, and the length of the body if only that determines its end, else -1."""

NOTABLE: Final = OWN | {b"content-length", b"transfer-encoding", b"connection", b"expect"}
"""Fields that a plain request does not have, because they must be interpreted."""
_REUSABLE: Final = {b"connection: keep-alive": True, b"connection: close": False}
NO_BODY: Final = frozenset((204, 304))
"""The statuses of final responses that have no body (RFC 9112, 6.3)."""


def read_plain_request(data: bytes) -> PlainRequest | None:
    """Return the parsed request if the bytes are exactly one plain head without a body.

    :param data: including the empty line that ends a head.
    :returns: None for anything else.
    """
    size = len(data) - 4
    if size < 1 or data.find(END_OF_HEAD) != size:
        return None
    head = data[:size]
    lines = head.split(b"\r\n")
    match = plain_request_line(lines.pop(0).decode("latin-1"))
    keys = plain_fields(head.lower())
    if (
        match is None
        or len(keys) != len(lines)
        or keys.count(b"host") != 1
        or not NOTABLE.isdisjoint(keys)
    ):
        return None
    try:
        host = parse_host(lines[keys.index(b"host")][6:])
    except BadRequest:
        return None
    method, target, path, query = match.groups("")
    return method, target, path, query, host, keys, lines


def read_plain_response(head: bytes) -> PlainResponse | None:
    """Return the parsed head of a response, if it is plain.

    :param head: without the empty line at its end.
    :returns: None for anything else.
    """
    lines = head.split(b"\r\n")
    try:
        status, reason, reusable = read_status_line(lines.pop(0))
        keys = plain_fields(head.lower())
        if not reusable or len(keys) != len(lines):
            return None
        length = None
        if b"content-length" in keys:
            if keys.count(b"content-length") > 1:
                return None
            length = length_of(lines[keys.index(b"content-length")])
    except Malformed:
        return None
    if b"connection" in keys:
        only = _REUSABLE.get(lines[keys.index(b"connection")].lower())
        if only is None or keys.count(b"connection") > 1:
            return None
        reusable = only
    if length is None or b"transfer-encoding" in keys or status < 200 or status in NO_BODY:
        return status, reason, keys, lines, length, reusable, -1
    return status, reason, keys, lines, length, reusable, length
