"""How long a response is fresh, and how old it is (RFC 9111, 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pingap import Headers, parse_http_date
from pingap_cache.http.directives import ResponseDirectives
from pingap_cache.http.seconds import parse_seconds

HEURISTIC: Final = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
"""Status codes that may be given a lifetime by guess (RFC 9110, 15.1)."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Seconds for which a response is fresh."""

    seconds: float
    source: str
    """What said so: ``s-maxage``, ``max-age``, ``Expires``, ``heuristic`` or ``none``, for people to read."""
    explicit: bool
    """Whether the origin said so; a guess, and none at all, are not."""


def lifetime(
    status: int,
    headers: Headers,
    directives: ResponseDirectives,
    response_time: float,
    *,
    fraction: float,
    most: float,
) -> Lifetime:
    """Return the freshness lifetime for a shared cache (RFC 9111, 4.2.1; RFC 9213, 2.2).

    :param response_time: seconds since the epoch; stands for a ``Date`` that is missing or invalid.
    :param fraction: of the time since ``Last-Modified``, for which a response without explicit
        lifetime is fresh (RFC 9111, 4.2.2).
    :param most: seconds that such a guess is at most.
    """
    if directives.names_lifetime:
        shared = directives.s_maxage is not None
        seconds = directives.s_maxage if shared else directives.max_age
        assert seconds is not None
        said = "s-maxage" if shared else "max-age"
        invalid = " (not valid)" if directives.invalid else ""
        return Lifetime(float(seconds), f"{said} of {directives.field}{invalid}", explicit=True)
    date = date_value(headers, response_time)
    targeted = directives.field not in ("", "cache-control")
    if (expires := headers.find(b"expires")) is not None and not targeted:
        until = parse_http_date(expires, response_time)
        if until is None:  # such as 0: already expired (RFC 9111, 5.3)
            return Lifetime(0.0, "expires (not valid)", explicit=True)
        return Lifetime(max(0.0, until - date), "expires", explicit=True)
    if status in HEURISTIC or directives.public:
        modified = last_modified(headers, response_time)
        if modified is not None and modified < date:
            return Lifetime(min((date - modified) * fraction, most), "heuristic", explicit=False)
    return Lifetime(0.0, "none", explicit=False)


def date_value(headers: Headers, response_time: float) -> float:
    """Return ``Date``, or when the response came if that is missing or invalid (RFC 9110, 6.6.1)."""
    value = headers.find(b"date")
    date = None if value is None else parse_http_date(value, response_time)
    return response_time if date is None else date


def last_modified(headers: Headers, now: float) -> float | None:
    """Return ``Last-Modified`` if it is there and valid (RFC 9110, 8.8.2)."""
    value = headers.find(b"last-modified")
    return None if value is None else parse_http_date(value, now)


def age_value(headers: Headers) -> int:
    """Return ``Age``: the first member of a list, 0 if it is missing or invalid (RFC 9111, 5.1)."""
    value = headers.find(b"age")
    if value is None:
        return 0
    first = value.split(b",", 1)[0].strip(b" \t")
    return parse_seconds(first.decode("latin-1")) or 0


def corrected_initial_age(headers: Headers, request_time: float, response_time: float) -> float:
    """Return how old a response was when it came, never below 0 (RFC 9111, 4.2.3)."""
    apparent_age = max(0.0, response_time - date_value(headers, response_time))
    response_delay = max(0.0, response_time - request_time)
    return max(apparent_age, age_value(headers) + response_delay)
