"""Header fields that frame a message or belong to one hop, and the rules for their values."""

from __future__ import annotations

import re
from functools import lru_cache

from pingap.errors import BadRequest
from pingap.messages import Field, Headers

# Fields of one hop (RFC 9110, 7.6.1) and fields that say where a body ends: never passed on,
# always written anew for the other side.
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

# A trailer with one of these names could be taken for a header by who merges the two (RFC 9110, 6.5.1).
_NEVER_IN_TRAILERS = NEVER_FORWARDED | {
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"forwarded",
    b"host",
    b"location",
    b"max-forwards",
    b"pragma",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"range",
    b"set-cookie",
    b"www-authenticate",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-real-ip",
}

_KEPT_WHATEVER_IS_LISTED = frozenset((b"host", b"authorization", b"cookie"))
_OPTIONS_OF_OURS = frozenset((b"close", b"keep-alive"))

_HOST = re.compile(rb"(?P<host>\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z\-._~%!$&'()*+,;=]*)(?::[0-9]{0,5})?")


@lru_cache(maxsize=1024)
def parse_host(value: bytes) -> str:
    """Return the host of ``host[:port]``; an IPv6 literal keeps its brackets.

    :raises BadRequest: not a host (RFC 9112, 3.2).
    """
    if not (match := _HOST.fullmatch(value)):
        raise BadRequest("Invalid Host header")
    return match["host"].decode("ascii")


@lru_cache(maxsize=256)
def _options(value: bytes) -> frozenset[bytes]:
    return frozenset(one.strip(b" \t").lower() for one in value.split(b","))


def connection_options(values: list[bytes]) -> frozenset[bytes]:
    """Return the options of all ``Connection`` fields, in lower case (RFC 9110, 7.6.1)."""
    if len(values) == 1:
        return _options(values[0])
    return frozenset().union(*map(_options, values))


def drop_listed(fields: list[Field], options: frozenset[bytes]) -> list[Field]:
    """Drop the fields that ``Connection`` lists as belonging to this hop.

    Fields that every request needs to be understood stay: a client must not be able to strip
    the credentials or the host of a request by listing them.
    """
    listed = options - _OPTIONS_OF_OURS - _KEPT_WHATEVER_IS_LISTED
    return [one for one in fields if one[0] not in listed] if listed else fields


def check_trailers(fields: list[Field]) -> Headers:
    """Return trailer fields as headers.

    :raises BadRequest: a field that would change the message if it were taken for a header.
    """
    for key, name, _ in fields:
        if key in _NEVER_IN_TRAILERS:
            raise BadRequest(f"{name.decode('latin-1')} is not allowed in trailers")
    return Headers(fields)
