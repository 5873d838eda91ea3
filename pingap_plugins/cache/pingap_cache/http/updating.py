"""Newer fields for a stored response, from a 304 or from HEAD (RFC 9111, 3.2, 4.3.4 and 4.3.5)."""

from __future__ import annotations

from typing import Final

from pingap import Headers, format_http_date, parse_http_date, strong_match, weak_match
from pingap_cache.http.directives import ResponseDirectives
from pingap_cache.http.stored import StoredResponse
from pingap_cache.http.storing import Policy, Storing, reconsider, stored_fields

# What the stored body depends on (RFC 9111, 3.2): it was stored with this coding and length.
_KEPT: Final = frozenset({b"content-length", b"content-encoding", b"content-range"})


_LIFETIMES: Final = frozenset({b"cache-control", b"cdn-cache-control", b"expires"})


def selects(stored: StoredResponse, headers: Headers) -> bool:
    """Whether a 304 is about this stored response, whose validators were sent (RFC 9111, 4.3.4).

    A strong entity tag must be the same, a weak one must match, and so must ``Last-Modified`` if there is
    no tag. Many origins leave validators out of a 304; then it is about what was asked for (4.3.3).
    If it is not, the origin has to be asked again without conditions.
    """
    if (etag := headers.find(b"etag")) is not None:
        known = stored.etag
        if known is None:
            return False
        return weak_match(known, etag) if etag.startswith(b"W/") else strong_match(known, etag)
    if (modified := headers.find(b"last-modified")) is not None:
        known = stored.last_modified
        return known is not None and _same_date(known, modified, stored.response_time)
    return True


def _same_date(first: bytes, second: bytes, now: float) -> bool:
    return first == second or (
        (seen := parse_http_date(first, now)) is not None and seen == parse_http_date(second, now)
    )


def freshen(
    stored: StoredResponse,
    request_headers: Headers,
    headers: Headers,
    *,
    request_time: float,
    response_time: float,
    policy: Policy,
) -> Storing:
    """Update a stored response from a 304 that ``selects`` it (RFC 9111, 3.2 and 4.3.4).

    :param request_headers: of the client's request.
    :param headers: of the 304.
    :returns: the response to serve; not to be kept if the new fields forbid that. Nor may it stay under its
        key if it varies by more than that key is made of.
    """
    updated = _merged(stored.headers, headers)
    if b"date" not in headers.keys:  # RFC 9110, 6.6.1
        updated.replace((b"date", b"Date: " + format_http_date(response_time)))
    return reconsider(
        stored,
        request_headers,
        updated,
        request_time=request_time,
        response_time=response_time,
        policy=policy,
    )


def add_unstored(served: Headers, headers: Headers, stored: Headers) -> None:
    """Give a client what the 304 that its request caused says to it alone.

    That is what may not be stored: the fields that ``no-cache`` or ``private`` name, ``Set-Cookie``
    without a lifetime beside it, and traces.

    :param served: of the response, which is changed.
    :param headers: of the 304.
    :param stored: what the stored response has by now.
    """
    known = {*stored.fields}
    usable = stored_fields(headers, _NOTHING)
    alone = [
        prepared for prepared in usable.fields if prepared not in known and prepared[0] not in _KEPT
    ]
    for key in {key for key, _ in alone}:
        served.discard(key)
    for prepared in alone:
        served.append(prepared)


def _merged(known: Headers, newer: Headers) -> Headers:
    """Return fields in which newer ones replaced those of the same name (RFC 9111, 3.2)."""
    usable = stored_fields(newer, _NOTHING)
    arriving = {*usable.keys} - _KEPT
    if b"set-cookie" in arriving and _LIFETIMES.isdisjoint(arriving):
        # That everybody may have the stored cookies says nothing about one that comes with a 304.
        arriving.discard(b"set-cookie")
    fields = [prepared for prepared in known.fields if prepared[0] not in arriving]
    fields += [prepared for prepared in usable.fields if prepared[0] in arriving]
    # Not stored, but needed to tell how old the update is.
    fields += [prepared for prepared in newer.fields if prepared[0] == b"age"]
    return Headers(fields)


_NOTHING: Final = ResponseDirectives()


def update_by_head(
    stored: StoredResponse,
    request_headers: Headers,
    headers: Headers,
    size: int,
    *,
    request_time: float,
    response_time: float,
    policy: Policy,
) -> Storing | None:
    """Update a stored response from a 200 to HEAD (RFC 9111, 4.3.5).

    :param size: bytes of the stored body.
    :returns: as :func:`freshen`; ``None`` if the origin has another representation by now, so that the
        stored one has to be treated as stale (a soft purge).
    """
    for name in (b"etag", b"last-modified"):
        newer = headers.find(name)
        if newer is not None and newer != stored.headers.find(name):
            return None
    length = headers.find(b"content-length")
    if length is not None and length != b"%d" % size:
        return None
    return freshen(
        stored,
        request_headers,
        headers,
        request_time=request_time,
        response_time=response_time,
        policy=policy,
    )
