"""Validators: a client's conditions on a stored response, and the cache's own (RFC 9110, 8.8 and 13)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pingap import Headers, listed_entity_tags, parse_http_date, strong_match, weak_match
from pingap_cache.http.freshness import date_value
from pingap_cache.http.stored import StoredResponse

_CONDITIONS: Final = (
    b"if-none-match",
    b"if-modified-since",
    b"if-range",
    b"range",
    b"if-match",
    b"if-unmodified-since",
)


def not_modified(stored: StoredResponse, headers: Headers, now: float) -> bool:
    """Whether the client has what is stored already, so that 304 is the answer (RFC 9111, 4.3.2).

    ``If-None-Match`` takes precedence (RFC 9110, 13.2.2). Without ``Last-Modified``, ``If-Modified-Since`` is
    compared with ``Date``, else with when the response came.

    :param headers: of a request by GET or HEAD.
    :param now: seconds since the epoch.
    """
    if not 200 <= stored.status < 300:  # RFC 9110, 13.2.1
        return False
    if (tags := headers.find(b"if-none-match")) is not None:
        etag = stored.etag
        if tags == b"*":
            return True
        return etag is not None and any(weak_match(etag, tag) for tag in listed_entity_tags(tags))
    since = headers.find(b"if-modified-since")
    if since is None or (limit := parse_http_date(since, now)) is None:
        return False
    modified = stored.last_modified
    if modified is not None and (changed := parse_http_date(modified, now)) is not None:
        return changed <= limit
    return date_value(stored.headers, stored.response_time) <= limit


def range_holds(stored: StoredResponse, headers: Headers, now: float) -> bool:
    """Whether ``If-Range`` lets ``Range`` have effect (RFC 9110, 13.1.5)."""
    condition = headers.find(b"if-range")
    if condition is None:
        return True
    if condition.endswith(b'"'):
        etag = stored.etag
        return etag is not None and strong_match(etag, condition)
    modified = stored.last_modified
    if modified is None or (seen := parse_http_date(condition, now)) is None:
        return False
    # A date is a strong validator only if a change within the same second is ruled out (8.8.2.2).
    changed = parse_http_date(modified, now)
    return seen == changed and date_value(stored.headers, stored.response_time) - seen >= 1.0


def can_validate(stored: StoredResponse) -> bool:
    """Whether the origin can be asked if this response still holds (RFC 9111, 4.3.1).

    Not that of an error or a redirection: preconditions are about a representation (RFC 9110, 13.2.1), and a
    304 could mean the resource that is back, not the error page with the same date.
    """
    if not 200 <= stored.status < 300:
        return False
    return stored.etag is not None or stored.last_modified is not None


def revalidating(stored: StoredResponse, headers: Headers) -> Headers:
    """Return the fields of a request that validates a stored response (RFC 9111, 4.3.1).

    The client's conditions and its range go; those of the stored response take their place. Without a
    validator the origin will send the whole response.

    :param headers: of the client's request, left as they are.
    """
    asking = unconditional(headers)
    if not can_validate(stored):
        return asking
    if (etag := stored.etag) is not None:
        asking.append((b"if-none-match", b"If-None-Match: " + etag))
    if (modified := stored.last_modified) is not None:
        asking.append((b"if-modified-since", b"If-Modified-Since: " + modified))
    return asking


def offering(etags: Iterable[bytes], headers: Headers) -> Headers:
    """Return the fields of a request that says which variants are stored (RFC 9111, 4.3.1).

    :param headers: of the client's request, left as they are.
    """
    asking = unconditional(headers)
    asking.append((b"if-none-match", b"If-None-Match: " + b", ".join(etags)))
    return asking


def is_conditional(headers: Headers) -> bool:
    """Whether a request may be answered with 304 (RFC 9110, 15.4.5)."""
    return b"if-none-match" in headers.keys or b"if-modified-since" in headers.keys


def unconditional(headers: Headers) -> Headers:
    """Return the fields of a request for the whole response, so that it can be stored."""
    asking = headers.copy()
    for name in _CONDITIONS:
        asking.discard(name)
    return asking
