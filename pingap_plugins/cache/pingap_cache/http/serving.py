"""Whether a stored response may answer a request (RFC 9111, 4 and 4.2.4; RFC 5861)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from pingap_cache.http.directives import NO_DIRECTIVES, RequestDirectives
from pingap_cache.http.stored import StoredResponse

ERRORS: Final = frozenset({500, 502, 503, 504})
"""Status codes in place of which a stale response may be served (RFC 5861, 4)."""


class Verdict(Enum):
    """What to do with a request."""

    FRESH = "fresh"
    """Serve the stored response."""
    STALE = "stale"
    """Serve the stored response, which is stale, as the client allowed."""
    STALE_REFRESH = "stale, refresh"
    """Serve the stored response, which is stale, and revalidate it in the background."""
    REVALIDATE = "revalidate"
    """Ask the origin whether the stored response still holds."""
    FETCH = "fetch"
    """Nothing is stored: ask the origin."""
    UNAVAILABLE = "unavailable"
    """Answer 504: the client wants a stored response or none (RFC 9111, 5.2.1.7)."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with a request, and why."""

    verdict: Verdict
    reason: str
    from_cache: bool = False
    """Whether the stored response is to be served at once."""

    @property
    def by_request(self) -> bool:
        """Whether the request does not want the stored response, which may be fresh (RFC 9211, 2.2)."""
        return self.reason.endswith("of the request")


FRESH: Final = Decision(Verdict.FRESH, "fresh", from_cache=True)
_STALE: Final = Decision(
    Verdict.STALE, "stale, as max-stale of the request allows", from_cache=True
)
_STALE_REFRESH: Final = Decision(
    Verdict.STALE_REFRESH, "stale, within stale-while-revalidate", from_cache=True
)
_FETCH: Final = Decision(Verdict.FETCH, "nothing is stored")
_UNAVAILABLE: Final = Decision(Verdict.UNAVAILABLE, "only-if-cached, and nothing usable is stored")


def decide(
    stored: StoredResponse | None,
    directives: RequestDirectives,
    now: float,
    *,
    purged: bool = False,
) -> Decision:
    """Decide how to answer a request (RFC 9111, 4).

    :param stored: what is stored for this request: of a URL with variants, the one that matches.
    :param directives: of the request.
    :param now: seconds since the epoch.
    :param purged: whether a soft purge marked the response as stale.
    """
    if stored is None:
        return _UNAVAILABLE if directives.only_if_cached else _FETCH
    if (
        directives is NO_DIRECTIVES
        and not (purged or stored.no_cache)
        # A clock that was set back leaves ``now`` before ``response_time``.
        and stored.response_time <= now < stored.born + stored.lifetime
    ):
        return FRESH
    decision = _weigh(stored, directives, now, purged=purged)
    if directives.only_if_cached and not decision.from_cache:
        return _UNAVAILABLE
    return decision


def _weigh(
    stored: StoredResponse, directives: RequestDirectives, now: float, *, purged: bool
) -> Decision:
    """Decide about a stored response (RFC 9111, 4.2.4 and 5.2.1)."""
    if stored.no_cache:
        return _revalidate("no-cache of the response")
    if directives.no_cache:
        return _revalidate("no-cache of the request")
    age = stored.age(now)
    if directives.max_age is not None and age > directives.max_age:
        return _revalidate("older than max-age of the request")
    if directives.min_fresh is not None and stored.lifetime < age + directives.min_fresh:
        return _revalidate("not fresh for as long as min-fresh of the request")
    if stored.lifetime > age and not purged:
        return FRESH
    staleness = max(0.0, age - stored.lifetime)
    if not stored.forbids_stale:
        # Who asks for a maximal age or freshness does not want stale responses (5.2.1.1, 5.2.1.3).
        content = directives.max_age is None and directives.min_fresh is None
        if content and staleness < stored.stale_while_revalidate:
            return _STALE_REFRESH
        if directives.max_stale is not None and staleness <= directives.max_stale and not purged:
            return _STALE
    return _revalidate("purged" if purged else "stale")


def _revalidate(reason: str) -> Decision:
    return _REVALIDATE.get(reason) or Decision(Verdict.REVALIDATE, reason)


_REVALIDATE: Final = {
    reason: Decision(Verdict.REVALIDATE, reason)
    for reason in ("stale", "purged", "no-cache of the response", "no-cache of the request")
}


def may_replace_error(stored: StoredResponse, directives: RequestDirectives, now: float) -> bool:
    """Whether a stored response may be served because the origin failed (RFC 5861, 4; RFC 9111, 4.3.3).

    The origin failed if it could not be reached, or answered with one of ``ERRORS``.
    """
    if stored.no_cache or directives.no_cache:
        return False
    age = stored.age(now)
    if directives.max_age is not None and age > directives.max_age:
        return False
    allowed = max(stored.stale_if_error, directives.stale_if_error or 0)
    return not stored.forbids_stale and max(0.0, age - stored.lifetime) < allowed


def explain(stored: StoredResponse, now: float) -> str:
    """Describe how fresh a stored response is, for people to read."""
    age = stored.age(now)
    left = stored.lifetime - age
    state = f"fresh for {left:.0f} s more" if left > 0 else f"stale for {-left:.0f} s"
    return f"age {age:.0f} s, lifetime {stored.lifetime:.0f} s by {stored.source}: {state}"
