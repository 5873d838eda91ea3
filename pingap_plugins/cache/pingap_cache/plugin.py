"""The plugin ``cache``: which phase does what."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

from pingap_content.media_types import MediaTypes

from pingap import (
    AsyncBodyFilter,
    BackgroundTasks,
    BodyFilter,
    ConfigTable,
    ConfigView,
    ContextKey,
    HTTPError,
    LogTag,
    Metric,
    Plugin,
    Request,
    RequestContext,
    Response,
    Retry,
    Worker,
    hookimpl,
)
from pingap_cache import control
from pingap_cache.answers import Answers
from pingap_cache.asking import Asking, hashed
from pingap_cache.explaining import Explaining
from pingap_cache.http.directives import NO_DIRECTIVES
from pingap_cache.http.invalidation import SAFE, invalidated
from pingap_cache.http.lookup import PLAIN, look_at
from pingap_cache.http.serving import FRESH, decide
from pingap_cache.http.storing import Policy
from pingap_cache.keys import KeyRules
from pingap_cache.log_tags import log_tags
from pingap_cache.numbers import BYPASS, Numbers, figures_as_metrics
from pingap_cache.opened import Opened, open_store
from pingap_cache.parts import Parts
from pingap_cache.predictions import Predictions
from pingap_cache.purging import Purge, Purging, of_urls, refusal, requested
from pingap_cache.receiving import Receiving
from pingap_cache.saving import Saving
from pingap_cache.settings import CacheSettings, check_lock, matcher
from pingap_cache.turns import Turns
from pingap_cache.views import view_of
from pingap_cache.visits import Visit

TOPIC: Final = "pingap-cache/"
Answer = Response | Awaitable[Response | None] | None


class Cache(Plugin):
    """Stores responses, and answers requests with them, as RFC 9111 says for a shared cache.

    A response is found again by scheme, host and port, path and query, and by what its ``Vary`` names.
    """

    category = "cache"
    contract = "1.1"
    body = "reads"
    Settings: ClassVar[type[CacheSettings]] = CacheSettings

    def __init__(self, settings: CacheSettings, table: ConfigTable | None = None) -> None:
        check_lock(settings.lock, {} if table is None else table.values)
        self.settings = settings
        self.name = "cache" if table is None else table.name
        self._rules = KeyRules(
            settings.namespace,
            tuple(name.lower().encode() for name in settings.headers),
            query_sort=settings.query_sort,
            ignores=matcher(settings.query_ignore),
        )
        self._skip = settings.skip
        self._visit = ContextKey[Visit | None]("cache", None)
        self._unsafe = ContextKey[tuple[str, bytes] | None]("cache unsafe", None)
        self._numbers = numbers = Numbers()
        self._requests, self._lookup_time, self._lock_time = (
            numbers.requests,
            numbers.lookup,
            numbers.lock,
        )
        self._read_time, self._write_time = numbers.read, numbers.write
        self._locations: tuple[ConfigView | None, tuple[str, ...]] = (None, ())
        self._worker: Worker
        self._opened: Opened | None = None
        self._parts: Parts
        self._asking: Asking
        self._receiving: Receiving
        self._saving: Saving
        self._purging: Purging

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Open the store, and listen to the other workers and to ``pingap cache``."""
        self._worker = worker
        settings = self.settings
        workers = workers_of(worker.instance.config)
        opened = self._opened = open_store(settings.directory, workers)
        turns = Turns(settings.lock)
        if opened.deep:
            turns.shared = worker.shared
        self._parts = parts = Parts(
            store=opened.store,
            deep=opened.deep,
            rules=self._rules,
            policy=Policy(
                max_ttl=settings.max_ttl,
                needs_cache_control=settings.check_cache_control,
                content_types=MediaTypes(types) if (types := settings.content_types) else None,
                stale_while_revalidate=settings.stale_while_revalidate,
                stale_if_error=settings.stale_if_error,
            ),
            answers=Answers(opened.store),
            turns=turns,
            predictions=Predictions(enabled=settings.predictor),
            numbers=self._numbers,
            tasks=tasks,
            largest=settings.max_file_size,
        )
        self._asking = Asking(parts, self._visit)
        self._saving = Saving(parts)
        self._receiving = Receiving(parts, self._asking, self._saving)
        origin = f"{os.getpid()}.{secrets.token_hex(4)}"
        self._purging = Purging(opened.store, turns, worker.bus, TOPIC + self.name, origin)
        tasks.start_service(self._purging.follow)
        tasks.start_service(opened.maintain)
        tasks.start_service(control.serve, control.folder(worker.store), self._command)

    async def shutdown(self) -> None:
        """Close the store, unless another cache uses it."""
        if self._opened is not None:
            await self._saving.finish()
            await self._opened.close()

    # The phases.

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Answer:
        """Answer from the store, or let the request go on."""
        headers = request.headers
        wish = look_at(request.method, headers)
        if wish.bypass:
            if request.method == "PURGE":
                return self._purge(request, ctx)
            if request.method not in SAFE:  # (plugins behind this one may rewrite the URL)
                extras = self._rules.extras(request, ctx)
                ctx[self._unsafe] = self._rules.url(request, ctx), extras
            self._numbers.count(BYPASS)
            return None
        if self._skip is not None and self._skip(request.target):
            self._numbers.count(BYPASS)
            return None
        url = self._rules.url(request, ctx)
        primary = self._rules.primary(ctx.location, url)
        extras = self._rules.extras(request, ctx)
        if wish is PLAIN and not extras and request.method == "GET":
            answer = self._at_once(primary, request)
            if answer is not None:
                return answer
        visit = Visit(url, primary, hashed(extras), headers, wish)
        ctx[self._visit] = visit
        return self._asking.go(visit, request, ctx)

    def _at_once(self, primary: bytes, request: Request) -> Response | None:
        """Answer a plain request from memory, if that can be done: what most requests need."""
        find = self._parts.store.get_now
        entry = find(primary)
        if entry is None or (view := view_of(entry)) is None:
            return None
        if view.marker is not None:
            entry = find(view.marker.key(primary, request.headers))
            if entry is None or (view := view_of(entry)) is None:
                return None
        if view.stored is None or entry.body is None:
            return None
        now = time.time()
        if decide(view.stored, NO_DIRECTIVES, now, purged=entry.stale) is not FRESH:
            return None
        self._numbers.hits.inc()
        return self._parts.answers.hit(view, entry, now)

    @hookimpl(trylast=True)  # what other plugins change is stored, too
    def upstream_response(
        self, request: Request, response: Response, ctx: RequestContext
    ) -> Answer | Awaitable[Response | Retry | None]:
        """Store a response, or use what is stored in its place."""
        visit = ctx[self._visit]
        if visit is not None:
            return self._receiving.take(visit, request, response, ctx)
        unsafe = ctx[self._unsafe]
        if unsafe is not None and response.status < 400:
            return self._invalidate(*unsafe, request, response, ctx)
        return None

    @hookimpl
    def upstream_error(self, request: Request, error: HTTPError, ctx: RequestContext) -> Answer:
        """Answer with what is stored, if that is allowed (RFC 5861, 4)."""
        visit = ctx[self._visit]
        return None if visit is None else self._receiving.fail(visit, request, ctx)

    @hookimpl(trylast=True)
    def upstream_response_body(
        self, response: Response, ctx: RequestContext
    ) -> BodyFilter | AsyncBodyFilter | None:
        """Store the body."""
        visit = ctx[self._visit]
        if visit is None or visit.storing is None or response.status == 204:
            return None
        if visit.fill is not None:
            visit.fill.go_on(ctx.read_ahead)
        unchanged = self._receiving.answers_conditions(visit, time.time())
        return self._saving.filter(visit, response, unchanged=unchanged)

    # Removing.

    def locations(self) -> tuple[str, ...]:
        """Return the names of the locations in which this cache works."""
        config = self._worker.instance.config
        if self._locations[0] is not config:
            everywhere = any(self.name in server.plugins for server in config.servers.values())
            names = tuple(
                name
                for name, location in config.locations.items()
                if everywhere or self.name in location.plugins
            )
            self._locations = (config, names)
        return self._locations[1]

    def _invalidate(
        self, url: str, extras: bytes, request: Request, response: Response, ctx: RequestContext
    ) -> Awaitable[None] | None:
        """Remove what an unsafe request has made invalid (RFC 9111, 4.4)."""
        urls = invalidated(ctx.original.method, url, response.status, response.headers)
        purges = of_urls(self._rules, urls, self.locations())
        if not purges:
            return None
        return self._replace(purges, url, extras, request, response, ctx)

    async def _replace(
        self,
        purges: Sequence[Purge],
        url: str,
        extras: bytes,
        request: Request,
        response: Response,
        ctx: RequestContext,
    ) -> None:
        """Remove what is invalid; store the response to POST that GET would bring."""
        for purge in purges:
            await self._purging.purge(purge)
        if request.method == "POST" and b"content-location" in response.headers.keys:
            primary, hashes = self._rules.primary(ctx.location, url), hashed(extras)
            headers = request.headers.copy()
            visit = Visit(url, primary, hashes, headers, PLAIN, primary + hashes)
            ctx[self._visit] = visit
            storing = self._receiving.take_post(visit, request, response, ctx)
            if storing is not None:
                await storing

    def _purge(self, request: Request, ctx: RequestContext) -> Answer:
        refused = refusal(request, ctx, self.settings.purge_ip_list)
        return self._purge_now(request, ctx) if refused is None else refused

    async def _purge_now(self, request: Request, ctx: RequestContext) -> Response:
        """Carry a PURGE out."""
        url = self._rules.url(request, ctx)
        purges = requested(request, url, self._rules, self.locations())
        found = sum([await self._purging.purge(purge) for purge in purges])
        if request.target[-1:] != "*":
            return Response(204)
        return Response.text(200, f"purged: {found}, fail: 0")

    # Looking at it.

    def log_tags(self) -> Mapping[str, LogTag]:
        """Name the tags for access logs."""
        return log_tags(self._visit)

    def collect(self) -> Iterable[Metric]:
        """Yield the numbers of the store."""
        if self._opened is not None:
            yield from figures_as_metrics(self._opened.figures())

    async def _command(self, given: dict[str, Any]) -> dict[str, Any]:
        assert self._opened is not None
        explaining = Explaining(self._parts, self._opened, self._purging, self.name)
        return await explaining.answer(given, self.locations())


def workers_of(config: ConfigView) -> int:
    """Return among how many workers memory is divided."""
    counts = [server.threads for server in config.servers.values() if server.threads is not None]
    most = max([config.basic.threads, *counts])
    return most or os.cpu_count() or 1
