"""Header fields that frame a message or belong to one hop, and the rules for their values."""

from __future__ import annotations

from functools import lru_cache
from itertools import compress

from pingap.http.headers import TOKEN, Headers
from pingap.protocol.http1_head import Malformed
from pingap.protocol.secrecy import LONGEST_REMEMBERED

# Fields of one hop (RFC 9110, 7.6.1) and fields that frame a body: never passed on unchanged, but written for
# the other side.
NEVER_FORWARDED = frozenset(
    (
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)

# Framing, routing, modifiers and credentials of a request, control and format of a response: a receiver that
# merges trailers into the header would act on them (RFC 9110, 6.5.1).
_NEVER_IN_TRAILERS = NEVER_FORWARDED.union(
    (
        b"age authorization cache-control content-encoding content-language content-location content-range "
        b"content-type cookie date early-data expect expires forwarded host if-match if-modified-since "
        b"if-none-match if-range if-unmodified-since location max-forwards pragma proxy-authenticate "
        b"proxy-authorization range retry-after set-cookie vary via warning www-authenticate "
        b"x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-real-ip x-retry-attempt"
    ).split()
)

_NOT_DROPPED = frozenset(
    (
        b"close keep-alive host authorization cookie upgrade te content-length transfer-encoding "
        b"forwarded x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-real-ip"
    ).split()
)

_MOST_DIGITS = 18
"""Maximum number of digits of a length, so that it fits a signed 64-bit integer."""


@lru_cache(maxsize=4096)
def length_of(line: bytes) -> int:
    """Return the value of a line ``Content-Length: value``.

    :raises Malformed: not a number (RFC 9110, 8.6).
    """
    value = line.partition(b": ")[2]
    # bytes.isdigit accepts ASCII digits only
    if not value.isdigit() or len(value) > _MOST_DIGITS:
        raise Malformed("Content-Length must be one number")
    return int(value)


def read_length(headers: Headers) -> int | None:
    """Return ``Content-Length``; None if there is none.

    :raises Malformed: several, or not a number (RFC 9112, 6.3, rule 5; RFC 9110, 8.6).
    """
    keys = headers.keys
    number = keys.count(b"content-length")
    if number == 1:
        return length_of(headers.lines[keys.index(b"content-length")])
    if number:
        raise Malformed("Content-Length must be one number")
    return None


def _read_options(line: bytes) -> frozenset[bytes]:
    return frozenset(map(bytes.strip, line.partition(b": ")[2].lower().split(b",")))


_remembered_options = lru_cache(maxsize=256)(_read_options)


def _options(line: bytes) -> frozenset[bytes]:
    # Long ones are not cached: a client must not be able to fill the memory with them.
    return _remembered_options(line) if len(line) <= LONGEST_REMEMBERED else _read_options(line)


def connection_options(headers: Headers) -> frozenset[bytes]:
    """Return the options of all ``Connection`` fields, in lower case (RFC 9110, 7.6.1)."""
    keys = headers.keys
    if keys.count(b"connection") == 1:
        return _options(headers.lines[keys.index(b"connection")])
    lines = [line for key, line in headers.fields if key == b"connection"]
    return frozenset().union(*map(_options, lines))


def drop_listed(headers: Headers, options: frozenset[bytes]) -> None:
    """Drop the fields that ``Connection`` lists as belonging to this hop.

    Fields that are essential to every request are kept: a client must not be able to strip the credentials or
    the host of a request by listing them, nor what a trusted proxy says about it, if that proxy passes
    ``Connection`` on; it would then be taken for the proxy itself. ``Upgrade``, ``TE`` and the framing fields are
    interpreted here and never passed on unchanged.
    """
    keys = headers.keys
    if options <= _NOT_DROPPED or options.isdisjoint(keys):
        return
    # One pass, for any number of options and fields.
    dropped = options - _NOT_DROPPED
    kept = [key not in dropped for key in keys]
    headers.lines[:] = compress(headers.lines, kept)
    keys[:] = compress(keys, kept)


def keep_trailers(trailers: Headers) -> Headers | None:
    """Return trailers without those that would change the message if they were treated as headers.

    They are dropped, since the message is complete without them (RFC 9110, 6.5.1).

    :returns: None if none is left.
    """
    if not _NEVER_IN_TRAILERS.isdisjoint(trailers.keys):
        trailers = Headers([one for one in trailers.fields if one[0] not in _NEVER_IN_TRAILERS])
    return trailers if trailers.keys else None


def takes_trailers(headers: Headers) -> bool:
    """Return whether ``TE`` accepts trailers (RFC 9110, 10.1.4)."""
    words = b",".join(headers.find_all(b"te")).lower().split(b",")
    return any(word.partition(b";")[0].strip(b" \t") == b"trailers" for word in words)


def announced_trailers(headers: Headers) -> bytes:
    """Return a ``Trailer`` line with the names that are passed on; empty if there are none."""
    names = b",".join(headers.find_all(b"trailer")).split(b",")
    kept = [
        name
        for name in (name.strip(b" \t") for name in names)
        if TOKEN.fullmatch(name) and name.lower() not in _NEVER_IN_TRAILERS
    ]
    return b"Trailer: " + b", ".join(kept) if kept else b""
