"""The upstream says that what is stored still holds: 304 (RFC 9111, 4.3.3 and 4.3.4)."""

from __future__ import annotations

import time
from collections.abc import Awaitable

from pingap import Request, RequestContext, Response, Retry
from pingap_cache.asking import Asking
from pingap_cache.fills import State
from pingap_cache.http.conditional import unconditional
from pingap_cache.http.stored import StoredResponse
from pingap_cache.http.storing import Storing
from pingap_cache.http.updating import add_unstored, freshen, selects
from pingap_cache.http.vary import suits, vary_names
from pingap_cache.parts import Parts
from pingap_cache.purging import END
from pingap_cache.stores.interface import Entry, EntryGone
from pingap_cache.views import view_of
from pingap_cache.visits import Visit


class Validation:
    """Serves what is stored after a 304, and updates it.

    :param parts: the parts of the cache.
    :param asking: makes answers from what is stored.
    """

    def __init__(self, parts: Parts, asking: Asking) -> None:
        self._parts = parts
        self._asking = asking
        self._line = parts.answers.forwarded

    async def validated(
        self, visit: Visit, request: Request, response: Response, ctx: RequestContext
    ) -> Response | Retry | None:
        """Serve the stored response whose validators were sent, with the fields of the 304."""
        stored, entry = visit.stored, visit.entry
        assert stored is not None
        assert entry is not None
        if not selects(stored, response.headers):
            return await self._without(visit, request, "a 304 was about another version")
        storing = self._freshened(stored, visit, response, ctx)
        kept = storing.keep > 0 and is_covered(visit, storing.response)
        served = None
        if not ctx.in_background:
            served = await self._serve(visit, request, response, ctx, storing, kept=kept)
            if served is None:
                return await self._without(visit, request, "the stored body was gone")
        if kept and storing.response is not None:
            head = storing.response.encode()
            await self._parts.store.replace_head(visit.key, entry, head, storing.keep)
            self._parts.predictions.forget(visit.key)
            self._end(visit, State.STORED)
        else:
            await self._parts.store.remove(visit.key)
            self._end(visit, State.DECLINED)
        return served

    async def selected(
        self, visit: Visit, request: Request, response: Response, ctx: RequestContext
    ) -> Response | Retry | None:
        """Serve another variant of the URL, which the upstream says is the one for this request, too."""
        offers = visit.offers or {}
        key = offers.get(response.headers.find(b"etag") or b"", b"")
        entry = await self._parts.store.get(key) if key else None
        view = None if entry is None else view_of(entry)
        stored = None if view is None else view.stored
        if (
            entry is None
            or stored is None
            or not selects(stored, response.headers)
            or not suits(stored.headers, visit.headers)
        ):
            if visit.marker is not None and key == b"":
                url = visit.primary + visit.extras
                self._parts.offers.give_up(url, visit.marker, visit.headers)
            return self._again(visit, request, "a 304 was about no variant that is stored")
        own, visit.key, visit.entry = visit.key, key, entry
        storing = self._freshened(stored, visit, response, ctx)
        kept = storing.keep > 0 and is_covered(visit, storing.response)
        served = await self._serve(visit, request, response, ctx, storing, kept=kept)
        visit.key = own
        if served is None:
            return self._again(visit, request, "the stored body was gone")
        if kept:  # (the variant itself could not have been chosen, and stays as it is: 4.3.4)
            try:
                self._parts.tasks.start_soon(self._copy, visit, key, storing)
            except RuntimeError:  # the plugin was shut down
                self._end(visit, State.DECLINED)
        else:
            self._end(visit, State.DECLINED)
        return served

    def _freshened(
        self, stored: StoredResponse, visit: Visit, response: Response, ctx: RequestContext
    ) -> Storing:
        asked, came = times_of(visit, ctx)
        storing = freshen(
            stored,
            visit.headers,
            response.headers,
            request_time=asked,
            response_time=came,
            policy=self._parts.policy,
        )
        visit.stored, visit.reason = storing.response, storing.reason
        return storing

    async def _serve(
        self,
        visit: Visit,
        request: Request,
        response: Response,
        ctx: RequestContext,
        storing: Storing,
        *,
        kept: bool,
    ) -> Response | None:
        """Answer with what was updated; None if its body is gone."""
        status = "revalidated" if storing.keep > 0 else "revalidated-nocache"
        answer = self._asking.serve(visit, request, ctx, status)
        served = await answer if isinstance(answer, Awaitable) else answer
        if served is not None and storing.response is not None:
            add_unstored(served.headers, response.headers, storing.response.headers)
            served.headers.replace(self._line(visit.forward, status=304, stored=kept))
        return served

    async def _copy(self, visit: Visit, key: bytes, storing: Storing) -> None:
        """Store a variant under the key of the request that it answered, too."""
        store, response = self._parts.store, storing.response
        assert response is not None
        entry: Entry | None = await store.get(key)
        stored = False
        if entry is not None:
            writer = store.write(
                visit.key,
                response.encode(),
                keep=storing.keep,
                url=visit.url + END,
                tags=response.tags,
                namespace=self._parts.rules.namespace,
                since=visit.began,
            )
            try:
                async for chunk in store.read(key, entry, 0, entry.size):
                    await writer.write(chunk)
                stored = await writer.commit()
            except EntryGone:
                visit.reason = "the variant was gone before it was copied"
            finally:
                writer.discard()
        self._end(visit, State.STORED if stored else State.DECLINED)

    async def _without(self, visit: Visit, request: Request, reason: str) -> Retry:
        """Remove what is stored, and ask for the whole."""
        await self._parts.store.remove(visit.key)
        return self._again(visit, request, reason)

    def _again(self, visit: Visit, request: Request, reason: str) -> Retry:
        """Ask for the whole."""
        visit.entry = visit.stored = None
        visit.validates, visit.offers, visit.reason = False, None, reason
        visit.began = time.monotonic()  # (so that a removal before does not concern what comes now)
        return Retry(headers=unconditional(request.headers))

    def _end(self, visit: Visit, state: State) -> None:
        if visit.fill is not None:
            self._parts.turns.end(visit.fill, state)


def is_covered(visit: Visit, response: StoredResponse | None) -> bool:
    """Return whether a response that was updated may stay under its key: its Vary may have changed."""
    names = None if response is None else vary_names(response.headers)
    if names is None or visit.marker is None:
        return names == ()
    return visit.marker.covers(names)


def times_of(visit: Visit, ctx: RequestContext) -> tuple[float, float]:
    """Return when the upstream was asked, and when its response came; seconds since the epoch."""
    now, clock = time.time(), time.monotonic()
    asked = ctx.upstream_connected_at or visit.began
    came = ctx.upstream_head_at or clock
    return now - max(0.0, clock - asked), now - max(0.0, clock - came)
