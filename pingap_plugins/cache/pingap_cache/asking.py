"""The side of the client: find an answer, or let the request go on to the upstream (RFC 9111, 4)."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from hashlib import blake2b
from typing import Final

import anyio

from pingap import ContextKey, Headers, Request, RequestContext, Response
from pingap_cache.answers import Found
from pingap_cache.fills import Fill, State
from pingap_cache.http.conditional import can_validate, offering, revalidating, unconditional
from pingap_cache.http.serving import FRESH, Decision, Verdict, decide, may_replace_error
from pingap_cache.http.vary import Variants
from pingap_cache.parts import Parts
from pingap_cache.refreshing import Refreshing
from pingap_cache.stores.interface import Entry, EntryGone
from pingap_cache.views import view_of
from pingap_cache.visits import Visit

_FIRST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 0.1
_GROWTH: Final = 1.5


def variant_key(marker: Variants, primary: bytes, extras: bytes, headers: Headers) -> bytes:
    """Return the key of the variant for a request (RFC 9111, 4.1)."""
    return marker.key(primary + extras, headers)


def hashed(extras: bytes) -> bytes:
    """Return what makes a difference besides the URL, of a fixed length."""
    return blake2b(extras, digest_size=16).digest() if extras else b""


class Asking:
    """Decides what to do with requests by GET and HEAD.

    :param parts: the parts of the cache.
    :param key: where visits are kept.
    """

    def __init__(self, parts: Parts, key: ContextKey[Visit | None]) -> None:
        self._parts = parts
        self._refreshing = Refreshing(parts.turns, key, self._go_on)
        self._store = parts.store
        self._answers = parts.answers
        self._turns = parts.turns

    def go(
        self, visit: Visit, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response | None] | None:
        """Answer, or let the request go on; at once, if nothing has to be waited for."""
        if not self._place(visit, self._store.get_now(visit.primary)):
            if visit.marker is None:
                if self._parts.predictions.predicts(visit.key):  # (a disk takes longer to ask)
                    return self._act(visit, request, ctx)
                return self._look_deeper(visit, request, ctx)
            if not self._take(visit, self._store.get_now(visit.key)) and self._parts.deep:
                return self._look_deeper(visit, request, ctx)
        return self._act(visit, request, ctx)

    # Finding.

    def _place(self, visit: Visit, entry: Entry | None) -> bool:
        """Take what is stored under the primary key; return whether that is the place to look at."""
        visit.entry = visit.stored = visit.marker = None
        visit.key = visit.primary + visit.extras
        view = None if entry is None else view_of(entry)
        marker = view.marker if view is not None else None
        if view is None and self._parts.markers:
            marker = self._parts.markers.get(visit.primary)
        if marker is not None:
            visit.marker = marker
            visit.key = variant_key(marker, visit.primary, visit.extras, visit.headers)
            visit.forward = "vary-miss"
            return False
        if view is None:
            return not self._parts.deep
        if not visit.extras:  # (otherwise it was stored for requests without them)
            visit.entry, visit.stored = entry, view.stored
        return True

    def _take(self, visit: Visit, entry: Entry | None) -> bool:
        """Take what is stored under the key of the variant; return whether there is anything."""
        view = None if entry is None else view_of(entry)
        if view is None or view.stored is None:
            visit.entry = visit.stored = None
            return False
        visit.entry, visit.stored = entry, view.stored
        return True

    async def _find(self, visit: Visit) -> None:
        """Look for the entry, also on disk."""
        if (
            not self._place(visit, await self._store.get(visit.primary))
            and visit.marker is not None
        ):
            self._take(visit, await self._store.get(visit.key))

    async def _look_deeper(
        self, visit: Visit, request: Request, ctx: RequestContext
    ) -> Response | None:
        began = time.perf_counter()
        await self._find(visit)
        took = time.perf_counter() - began
        ctx.timing("cache.lookup", took)
        self._parts.numbers.lookup.observe(took)
        answer = self._act(visit, request, ctx)
        return await answer if isinstance(answer, Awaitable) else answer

    # Deciding.

    def _decide(self, visit: Visit) -> Decision:
        purged = visit.entry is not None and visit.entry.stale
        decision = decide(visit.stored, visit.wish.directives, time.time(), purged=purged)
        visit.reason = decision.reason
        return decision

    def _act(
        self, visit: Visit, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response | None] | None:
        decision = self._decide(visit)
        verdict = decision.verdict
        if decision is FRESH:
            return self.serve(visit, request, ctx, "hit")
        if verdict is Verdict.STALE:
            return self.serve(visit, request, ctx, "stale")
        if verdict is Verdict.STALE_REFRESH:
            return self._serve_and_refresh(visit, request, ctx)
        if verdict is Verdict.UNAVAILABLE:
            return self._unavailable()
        if visit.stored is not None:
            visit.forward = "request" if decision.by_request else "stale"
        return self._fetch(visit, request, ctx)

    def _serve_and_refresh(
        self, visit: Visit, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response | None] | None:
        """Serve what is stale, and have it refreshed."""
        answer = self.serve(visit, request, ctx, "stale-updating")
        if isinstance(answer, Response):
            self._refreshing.begin(visit, request, ctx)
            return answer
        return self._refresh_after(answer, visit, request, ctx)

    async def _refresh_after(
        self,
        answer: Awaitable[Response | None] | None,
        visit: Visit,
        request: Request,
        ctx: RequestContext,
    ) -> Response | None:
        response = await self._answered(answer)
        if response is not None and visit.status == "stale-updating":  # (its body was there)
            self._refreshing.begin(visit, request, ctx)
        return response

    def _unavailable(self) -> Response:
        response = Response.text(504, "Nothing that may be used is stored")
        response.headers.append(self._answers.forwarded("request", detail="only-if-cached"))
        return response

    # Answering.

    def serve(
        self, visit: Visit, request: Request, ctx: RequestContext, status: str
    ) -> Response | Awaitable[Response | None] | None:
        """Answer from the entry of a visit.

        :param status: for ``x-cache-status``.
        :returns: None, when awaited, if the body turns out to be gone: the request goes on then.
        """
        assert visit.entry is not None
        assert visit.stored is not None
        now = time.time()
        line = self._answers.status.hit(visit.stored.expires - now)
        found = Found(visit.key, visit.entry, visit.stored, now)
        made = self._answers.stored(request, visit.wish, visit.headers, found, status, line)
        if not isinstance(made, Response):
            return self._serve_read(visit, request, ctx, status, made)
        self._note(visit, ctx, status, made)
        return made

    async def _serve_read(
        self,
        visit: Visit,
        request: Request,
        ctx: RequestContext,
        status: str,
        reading: Awaitable[Response],
    ) -> Response | None:
        """Answer with a body from the disk; if it is gone, fetch it again."""
        began = time.perf_counter()
        try:
            response = await reading
        except EntryGone:
            visit.entry = visit.stored = None
            visit.reason = "the stored body was gone"
            if ctx.upstream_addr:  # the upstream was asked already
                return None
            going_on = self._fetch(visit, request, ctx)
            return await going_on if isinstance(going_on, Awaitable) else going_on
        self._parts.numbers.read.observe(time.perf_counter() - began)
        self._note(visit, ctx, status, response)
        return response

    def _note(self, visit: Visit, ctx: RequestContext, status: str, response: Response) -> None:
        """Count an answer, and tell the client what it waited for."""
        visit.status = status
        self._parts.numbers.count(status)
        tell_times(response, ctx)

    # Going on.

    def _fetch(
        self, visit: Visit, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response | None] | None:
        """Let the request go on to the upstream, unless another one fetches the same already."""
        wish = visit.wish
        # (What a request with no-store brings will not be stored.)
        # (What is never fresh, such as with no-cache, is validated for each request.)
        stored = visit.stored
        alone = (
            request.method == "HEAD"
            or wish.directives.no_store
            or (wish.ranged if stored is None else stored.is_never_fresh)
        )
        if alone or self._parts.predictions.predicts(visit.key):
            self._go_on(visit, request, None)
            return None
        fill = self._turns.take(visit.key)
        # (With no-cache, what is fetched already will not do: it was asked for before.)
        if fill is None and self._turns.seconds and not wish.directives.no_cache:
            return self._wait(visit, request, ctx)
        if fill is not None and self._parts.deep and self._came_meanwhile(visit):
            self._turns.end(fill, State.FAILED)
            return self._act(visit, request, ctx)
        self._go_on(visit, request, fill)
        return None

    def _came_meanwhile(self, visit: Visit) -> bool:
        """Return whether an entry, or a marker, was stored while the disk was asked for it."""
        if visit.stored is not None or (entry := self._store.get_now(visit.primary)) is None:
            return False
        key = visit.key
        if not self._place(visit, entry) and visit.marker is not None:
            self._take(visit, self._store.get_now(visit.key))
        return visit.stored is not None or visit.key != key

    def _go_on(self, visit: Visit, request: Request, fill: Fill | None) -> None:
        """Ask for what can be stored: all of it, or whether what is stored still holds."""
        headers = visit.headers
        visit.headers = headers.copy()  # plugins behind this one may change those of the request
        if fill is not None:
            visit.fill, visit.release = fill, self._turns.give_up
            fill.primary, fill.url = visit.primary, visit.url
        if request.method == "HEAD":
            return
        stored = visit.stored
        if stored is not None and can_validate(stored):
            request.headers = revalidating(stored, headers)
            visit.validates = True
        elif visit.marker is not None and stored is None and fill is not None:
            self._offer(visit, request, headers)
        elif stored is not None or (fill is not None and visit.wish.conditional):
            request.headers = unconditional(headers)

    def _offer(self, visit: Visit, request: Request, headers: Headers) -> None:
        """Ask for a variant that is not stored, and say which others are."""
        assert visit.marker is not None
        url = visit.primary + visit.extras
        visit.offers = self._parts.offers.of(url, visit.marker, headers)
        if visit.offers:
            request.headers = offering(visit.offers, headers)
        elif visit.wish.conditional:
            request.headers = unconditional(headers)

    async def _wait(self, visit: Visit, request: Request, ctx: RequestContext) -> Response | None:
        began = time.perf_counter()
        try:
            response = await self._wait_for_others(visit, request, ctx)
        finally:
            took = time.perf_counter() - began
            ctx.timing("cache.lock", took)
            self._parts.numbers.lock.observe(took)
        if response is not None:
            tell_times(response, ctx)
        return response

    async def _wait_for_others(
        self, visit: Visit, request: Request, ctx: RequestContext
    ) -> Response | None:
        """Wait for what another request fetches; fetch, too, if that takes too long."""
        turns = self._turns
        until = visit.began + turns.seconds
        pause = _FIRST_PAUSE
        while True:
            left = until - time.monotonic()
            if (fill := turns.fills.find(visit.key)) is not None and left > 0:
                state = await self._watch(fill, visit, left)
                if state is State.FLOWING:
                    return self._join(visit, fill, request)
                if state is State.DECLINED:
                    self._go_on(visit, request, None)
                    return None
                if state is State.FAILED and self._may_serve_stale(visit):
                    return await self._answered(self.serve(visit, request, ctx, "stale"))
            elif fill is None and (own := turns.take(visit.key)) is not None:
                self._go_on(visit, request, own)
                return None
            elif left <= 0:
                self._go_on(visit, request, turns.take_over(visit.key))
                return None
            else:  # another worker fetches
                await anyio.sleep(min(pause, left))
                pause = min(pause * _GROWTH, _LONGEST_PAUSE)
            await self._find(visit)
            decision = self._decide(visit)
            if decision.from_cache:
                status = "hit" if decision is FRESH else "stale"
                return await self._answered(self.serve(visit, request, ctx, status))

    async def _watch(self, fill: Fill, visit: Visit, seconds: float) -> State:
        """Return what has become of a fill; FLOWING only if the visit may read its body as it comes."""
        with anyio.move_on_after(seconds):
            while fill.state is State.ASKING:
                await fill.changed()
            if fill.state is State.FLOWING and self._is_meant(fill, visit):
                assert fill.head is not None
                if not decide(fill.head, visit.wish.directives, time.time()).from_cache:
                    return State.DECLINED
                if fill.is_joinable and not visit.wish.ranged:
                    return State.FLOWING
            while fill.state is State.FLOWING:
                await fill.changed()
            return fill.state
        return State.ASKING

    def _is_meant(self, fill: Fill, visit: Visit) -> bool:
        """Return whether the body that comes is the one for a request."""
        if fill.marker is None:
            return not visit.extras
        key = variant_key(fill.marker, visit.primary, visit.extras, visit.headers)
        return key == fill.variant

    def _join(self, visit: Visit, fill: Fill, request: Request) -> Response:
        visit.reason = "another request fetched it at the same time"
        visit.status = "hit"
        self._parts.numbers.hits.inc()
        return self._answers.joined(request, visit.wish, visit.headers, fill, time.time())

    def _may_serve_stale(self, visit: Visit) -> bool:
        """Return whether what is stored may be served because the origin failed (RFC 5861, 4)."""
        return visit.stored is not None and may_replace_error(
            visit.stored, visit.wish.directives, time.time()
        )

    async def _answered(
        self, answer: Response | Awaitable[Response | None] | None
    ) -> Response | None:
        return await answer if isinstance(answer, Awaitable) else answer


def tell_times(response: Response, ctx: RequestContext) -> None:
    """Add ``x-cache-lookup`` and ``x-cache-lock``, and the sum to ``Server-Timing``."""
    timings = ctx.timings
    if not timings:
        return
    total = 0.0
    for name in ("lookup", "lock"):
        if (took := timings.get(f"cache.{name}")) is not None:
            total += took
            response.headers.set(f"x-cache-{name}", f"{took * 1000:.0f}ms")
    if total and "cache" not in timings:
        ctx.timing("cache", total)
