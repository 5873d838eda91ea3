"""The response that a client gets from the cache (RFC 9111, 4 and 5.1; RFC 9110, 14 and 15.4.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pingap import ByteRange, Headers, content_range, range_heads, requested_ranges
from pingap_cache.http.conditional import not_modified, range_holds
from pingap_cache.http.lookup import PLAIN, Lookup
from pingap_cache.http.stored import StoredResponse

# About the representation, which a 304 does not carry (RFC 9110, 15.4.5).
_NOT_IN_304: Final = (
    b"content-encoding",
    b"content-language",
    b"content-length",
    b"content-md5",
    b"content-range",
    b"content-type",
)


@dataclass(slots=True)
class Answer:
    """A response from the cache."""

    status: int
    headers: Headers
    """With ``Age`` and ``Content-Length``; to be changed as one likes."""
    parts: list[ByteRange] | None = None
    """Which parts of the stored body to send: ``None`` for all of it, an empty list for nothing."""
    part_heads: Sequence[bytes] = ()
    """If there are several parts: what goes before each, and what ends them."""


def answer(
    stored: StoredResponse,
    lookup: Lookup,
    headers: Headers,
    size: int,
    now: float,
    *,
    boundary: bytes = b"",
) -> Answer:
    """Make the response to a request that is answered from the cache (RFC 9111, 4).

    A response to HEAD is the same, without its body.

    :param headers: of the request.
    :param size: bytes of the stored body.
    :param now: seconds since the epoch.
    :param boundary: random, for ``multipart/byteranges``; without it only single ranges are sent.
    """
    fields = stored.headers.copy()
    fields.keys.append(b"age")
    fields.lines.append(b"Age: %d" % stored.age(now))
    if lookup is PLAIN:
        return _whole(stored, fields, size)
    if lookup.conditional and not_modified(stored, headers, now):
        return _unchanged(fields)
    if lookup.ranged and stored.status == 200 and range_holds(stored, headers, now):
        value = headers.find(b"range")
        parts = None if value is None else requested_ranges(value, size)
        if parts is not None and (len(parts) < 2 or boundary):
            return _partial(fields, parts, size, boundary)
    return _whole(stored, fields, size)


def _whole(stored: StoredResponse, fields: Headers, size: int) -> Answer:
    """Send all of it, with its length (RFC 9110, 8.6)."""
    keys = fields.keys
    if stored.status != 204:
        if b"content-length" not in keys:
            keys.append(b"content-length")
            fields.lines.append(b"Content-Length: %d" % size)
        if b"accept-ranges" not in keys and stored.status == 200:
            keys.append(b"accept-ranges")
            fields.lines.append(b"Accept-Ranges: bytes")
    return Answer(stored.status, fields)


def _unchanged(fields: Headers) -> Answer:
    """Say that the client has it already (RFC 9110, 15.4.5)."""
    for name in _NOT_IN_304:
        fields.discard(name)
    return Answer(304, fields, [])


def _partial(fields: Headers, parts: list[ByteRange], size: int, boundary: bytes) -> Answer:
    """Send parts, or that there are none (RFC 9110, 15.3.7 and 15.5.17)."""
    if not parts:
        # With nothing of what was stored: a cache on the way must not take this for the resource.
        headers = Headers({"Content-Range": f"bytes */{size}", "Content-Length": "0"})
        return Answer(416, headers, [])
    heads: list[bytes] = []
    if len(parts) == 1:
        fields.replace((b"content-range", b"Content-Range: " + content_range(parts[0], size)))
    else:
        heads = range_heads(parts, size, fields.find(b"content-type"), boundary)
        kind = b"Content-Type: multipart/byteranges; boundary=" + boundary
        fields.replace((b"content-type", kind))
    length = sum(stop - start for start, stop in parts) + sum(map(len, heads))
    fields.replace((b"content-length", b"Content-Length: %d" % length))
    return Answer(206, fields, parts, heads)
