"""Requests in a row to a cache, with what each must lead to: the form of the public suite of cache tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pingap_cache.http.storing import Policy
from simulated_cache import URL, Pairs, Reply, Seen, SimulatedCache, date

from pingap import Headers

Expected = Literal["cached", "not cached", "validated"] | None
PAUSE = 3.0
"""Seconds between requests."""

FRESH = [
    ("Cache-Control", "max-age=100000"),
    ("Expires", date(100000)),
    ("Last-Modified", date(0)),
    ("Date", date(0)),
]
STALE = [("Expires", date(-5000)), ("Last-Modified", date(-100000)), ("Date", date(0))]
SOON_STALE = [("Cache-Control", "max-age=2"), ("Template-A", "1")]


@dataclass
class Step:
    """One request."""

    reply: Pairs = ()
    expect: Expected = None
    asked: Pairs = ()
    method: str = "GET"
    url: str = URL
    status: int = 200
    """Of the origin; 0: it cannot be reached."""
    body: bytes = b"content"
    pause: float = PAUSE
    """Afterwards."""


def play(*steps: Step, policy: Policy | None = None) -> list[Seen]:
    """Send requests one after the other, and check where the answers came from."""
    replies = [Reply(step.reply, step.status, step.body) for step in steps]
    current = 0

    def origin(method: str, url: str, asked: Headers) -> Reply:
        return replies[current].to(asked)

    cache = SimulatedCache(origin, policy)
    seen = []
    for current, step in enumerate(steps):
        answer = cache.ask(step.asked, step.method, step.url)
        got = "cached" if answer.from_cache else "validated" if answer.validated else "not cached"
        if step.expect is not None:
            assert got == step.expect, f"request {current + 1}: {answer}"
        seen.append(answer)
        cache.now += step.pause
    return seen


def reused(reply: Pairs, expect: Expected = "cached", *, asked: Pairs = (), **more: object) -> Seen:
    """Send a request twice, of which the origin answers the first; check the second."""
    first = Step(reply, "not cached", asked, **more)  # type: ignore[arg-type]
    return play(first, Step(reply, expect, asked, **more))[-1]  # type: ignore[arg-type]


def plain(value: str) -> list[tuple[str, str]]:
    return [("Cache-Control", value)]
