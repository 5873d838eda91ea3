"""Stale responses that are refreshed in the background, so that no client waits (RFC 5861, 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pingap import ContextKey, Request, RequestContext
from pingap_cache.fills import Fill
from pingap_cache.http.conditional import unconditional
from pingap_cache.http.lookup import PLAIN
from pingap_cache.turns import Turns
from pingap_cache.visits import Visit

GoOn = Callable[[Visit, Request, Fill | None], None]
MOST_SECONDS: Final = 60.0
"""How long other workers leave a refresh to the one that has begun it."""


class Refreshing:
    """Sends requests of its own for what a client got stale.

    :param turns: whose turn it is to fetch.
    :param key: where visits are kept.
    :param go_on: makes a request ask whether what is stored still holds.
    """

    def __init__(self, turns: Turns, key: ContextKey[Visit | None], go_on: GoOn) -> None:
        self._turns = turns
        self._key = key
        self._go_on = go_on

    def begin(self, visit: Visit, request: Request, ctx: RequestContext) -> None:
        """Begin to refresh the entry of a visit, unless that is under way in this worker or another one."""
        turns = self._turns
        # (What the answer to a request with no-store says may not be stored.)
        if visit.wish.directives.no_store or turns.is_taken_elsewhere(visit.key):
            return
        fill = turns.take(visit.key, MOST_SECONDS)
        if fill is None:
            return
        asking = request.copy()
        asking.method = "GET"
        headers = unconditional(visit.headers)
        behind = Visit(visit.url, visit.primary, visit.extras, headers, PLAIN, visit.key)
        behind.marker, behind.entry, behind.stored = visit.marker, visit.entry, visit.stored
        behind.forward = "stale"
        self._go_on(behind, asking, fill)
        ctx.send_in_background(asking)[self._key] = behind
