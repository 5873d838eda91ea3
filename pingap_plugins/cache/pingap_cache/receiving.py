"""The side of the upstream: store its responses, or use what is stored in their place (RFC 9111, 3 and 4.3)."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Final

from pingap import HTTPError, Request, RequestContext, Response, Retry, format_http_date
from pingap_cache.answers import FIELDS
from pingap_cache.asking import Asking, tell_times, variant_key
from pingap_cache.fills import State
from pingap_cache.http.conditional import is_conditional, not_modified
from pingap_cache.http.serving import ERRORS, may_replace_error
from pingap_cache.http.storing import Storing, consider
from pingap_cache.http.updating import update_by_head
from pingap_cache.http.vary import vary_names
from pingap_cache.numbers import UNCACHEABLE
from pingap_cache.parts import Parts
from pingap_cache.saving import Saving
from pingap_cache.validation import Validation, is_covered, times_of
from pingap_cache.views import view_of
from pingap_cache.visits import Visit

_GONE: Final = frozenset({404, 410})
Answer = Response | Awaitable[Response | Retry | None] | None


class Receiving:
    """Decides what to do with responses of the upstream to GET and HEAD.

    :param parts: the parts of the cache.
    :param asking: makes answers from what is stored.
    :param saving: puts responses into the store.
    """

    def __init__(self, parts: Parts, asking: Asking, saving: Saving) -> None:
        self._parts = parts
        self._asking = asking
        self._saving = saving
        self._line = parts.answers.forwarded
        self._validation = Validation(parts, asking)

    def take(
        self, visit: Visit, request: Request, response: Response, ctx: RequestContext
    ) -> Answer:
        """Deal with the head of a response."""
        if not response.upstream:  # a plugin answered in place of the upstream (``upstream_error``)
            self._end(visit, State.DECLINED)
            return None
        status = response.status
        if status == 304:
            if visit.validates:
                return self._validation.validated(visit, request, response, ctx)
            if visit.offers:
                return self._validation.selected(visit, request, response, ctx)
            if not is_conditional(request.headers):
                self._end(visit, State.DECLINED)
                raise HTTPError(502, "The upstream answered 304 to a request without conditions")
        if status in ERRORS and self._may_replace(visit) and not ctx.in_background:
            return self._stale(visit, request, ctx, status)
        if request.method == "HEAD":
            return self._head(visit, response, ctx)
        storing = self._consider(visit, request, response, ctx)
        if storing.keep > 0 and storing.response is not None:
            return self._store(visit, response, ctx, storing)
        return self._pass(visit, response, ctx, storing.reason)

    def fail(
        self, visit: Visit, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response | None] | None:
        """Deal with an upstream that gave no response."""
        if visit.stored is not None and self._may_replace(visit) and not ctx.in_background:
            return self._stale(visit, request, ctx, None)
        self._end(visit, State.FAILED)
        return None

    def _count(self, ctx: RequestContext, status: str) -> None:
        if not ctx.in_background:  # (of which the client was counted)
            self._parts.numbers.count(status)

    def _end(self, visit: Visit, state: State) -> None:
        if visit.fill is not None:
            self._parts.turns.end(visit.fill, state)

    # Stale responses in the place of errors.

    def _may_replace(self, visit: Visit) -> bool:
        return visit.stored is not None and may_replace_error(
            visit.stored, visit.wish.directives, time.time()
        )

    def _stale(
        self, visit: Visit, request: Request, ctx: RequestContext, status: int | None
    ) -> Response | Awaitable[Response | None] | None:
        self._end(visit, State.FAILED)
        visit.reason = f"the upstream answered {status}" if status else "the upstream failed"
        return self._asking.serve(visit, request, ctx, "stale")

    # Updates by HEAD.

    def _head(self, visit: Visit, response: Response, ctx: RequestContext) -> Answer:
        """Update the stored response from a response to HEAD (RFC 9111, 4.3.5)."""
        response.headers.append(self._line(visit.forward))
        entry, stored = visit.entry, visit.stored
        if response.status != 200 or entry is None or stored is None:
            return None
        asked, came = times_of(visit, ctx)
        storing = update_by_head(
            stored,
            visit.headers,
            response.headers,
            entry.size,
            request_time=asked,
            response_time=came,
            policy=self._parts.policy,
        )
        store, key = self._parts.store, visit.key

        async def update() -> None:
            response = None if storing is None or storing.keep <= 0 else storing.response
            if response is None or storing is None or not is_covered(visit, response):
                await store.remove(key)
            else:
                await store.replace_head(key, entry, response.encode(), storing.keep)

        return update()

    # Storing.

    def take_post(
        self, visit: Visit, request: Request, response: Response, ctx: RequestContext
    ) -> Awaitable[None] | None:
        """Store a response to POST, if it says that GET would bring the same (RFC 9110, 9.3.3)."""
        visit.forward = "method"
        storing = self._consider(visit, request, response, ctx)
        if storing.keep > 0:
            return self._store(visit, response, ctx, storing)
        return None

    def _consider(
        self, visit: Visit, request: Request, response: Response, ctx: RequestContext
    ) -> Storing:
        asked, came = times_of(visit, ctx)
        storing = consider(
            request.method,
            visit.url,
            visit.headers,
            response.status,
            response.headers,
            request_time=asked,
            response_time=came,
            policy=self._parts.policy,
            reason=response.reason,
        )
        largest, length = self._parts.largest, response.content_length
        if storing.keep > 0 and largest and length is not None and length > largest:
            return Storing(None, 0.0, f"larger than max_file_size ({length} bytes)")
        return storing

    def _pass(self, visit: Visit, response: Response, ctx: RequestContext, reason: str) -> Answer:
        """Let a response go that cannot be stored; an older one does not hold any more."""
        parts = self._parts
        visit.reason = reason
        self._count(ctx, UNCACHEABLE)
        # (What one request asks for, or who sends it, says nothing about others.)
        personal = visit.wish.directives.no_store or b"authorization" in visit.headers.keys
        if not (visit.wish.ranged or personal or response.status in (304, *ERRORS)):
            parts.predictions.note(visit.key, reason)
        self._end(visit, State.DECLINED)
        response.headers.append(self._line(visit.forward, detail=reason))
        tell_times(response, ctx)
        status = response.status
        outdates = (status < 400 and status not in (206, 304)) or status in _GONE
        return self._remove(visit.key) if outdates and visit.entry is not None else None

    async def _remove(self, key: bytes) -> None:
        await self._parts.store.remove(key)

    def _store(
        self, visit: Visit, response: Response, ctx: RequestContext, storing: Storing
    ) -> Awaitable[None] | None:
        """Note that a response is to be stored; its body goes through a filter."""
        assert storing.response is not None
        parts = self._parts
        parts.predictions.forget(visit.key)
        if b"date" not in response.headers.keys:  # RFC 9110, 6.6.1
            date = (b"date", b"Date: " + format_http_date(storing.response.response_time))
            response.headers.append(date)
            storing.response.headers.append(date)
        self._choose_key(visit, response)
        if visit.marker is not None and (etag := response.headers.find(b"etag")) is not None:
            url = visit.primary + visit.extras
            parts.offers.note(url, visit.marker, visit.headers, etag, visit.variant)
        visit.storing, visit.reason = storing, storing.reason
        status = visit.status = "expired" if visit.stored is not None else "miss"
        self._count(ctx, status)
        response.headers.replace(FIELDS[status])
        response.headers.append(self._line(visit.forward, stored=True))
        tell_times(response, ctx)
        if visit.fill is not None:
            fill, length = visit.fill, response.content_length
            fill.begin(storing.response, visit.variant, visit.marker, length)
            parts.turns.fills.found_at(fill, visit.variant)
        ctx.finish_without_client = True
        return self._saving.save_empty(visit) if response.status == 204 else None

    def _choose_key(self, visit: Visit, response: Response) -> None:
        """Find the key for a response, among the variants of its URL (RFC 9111, 4.1)."""
        names = vary_names(response.headers) or ()
        marker = visit.marker
        if marker is None:  # another request may have made one meanwhile
            marker = self._parts.markers.get(visit.primary)
        if marker is None:
            entry = self._parts.store.get_now(visit.primary)
            view = None if entry is None else view_of(entry)
            marker = None if view is None else view.marker
        if marker is None and not names and not visit.extras:
            visit.marker, visit.variant = None, visit.primary
            return
        if marker is None or not marker.covers(names):
            marker = self._saving.new_marker(visit, marker, names)
        visit.marker = marker
        visit.variant = variant_key(marker, visit.primary, visit.extras, visit.headers)

    def answers_conditions(self, visit: Visit, now: float) -> bool:
        """Return whether the client has the response that is being stored, so that 304 will do."""
        return (
            visit.wish.conditional
            and visit.storing is not None
            and visit.storing.response is not None
            and not_modified(visit.storing.response, visit.headers, now)
        )
