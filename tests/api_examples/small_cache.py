"""A cache in memory: stores, revalidates, serves stale answers on errors, and is purged in all workers."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from pingap import (
    BackgroundTasks,
    BodyFilter,
    ContextKey,
    Headers,
    HTTPError,
    MessageBus,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    Worker,
    field,
    hookimpl,
)

TOPIC = "small-cache/purge"
MAX_AGE = re.compile(r"\bmax-age=(\d+)")


@dataclass
class Stored:
    """An answer.

    :param fresh_until: seconds of the monotonic clock.
    """

    fields: list[tuple[str, str]]
    body: bytes
    fresh_until: float
    etag: str

    def response(self, how: str) -> Response:
        """Return it as a response, with a field that says how it came about."""
        response = Response(200, self.body, Headers([field(*one) for one in self.fields]))
        response.headers.set("X-Cache", how)
        return response


STALE = ContextKey[Stored | None]("small_cache_stale", None)


class SmallCache(Plugin):
    """Stores answers of 200 to GET requests that have ``max-age``; PURGE removes one."""

    category = "small_cache"
    contract = "1.1"
    body = "reads"

    def __init__(self, settings: PluginSettings) -> None:
        self.stored: dict[str, Stored] = {}
        self.bus: MessageBus

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        self.bus = worker.bus
        tasks.start_service(self.forget_purged)

    async def forget_purged(self) -> None:
        """Forget what any worker purges."""
        with self.bus.subscribe(TOPIC) as messages:
            async for message in messages:
                self.stored.pop(message.value.decode(), None)

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Response | None:
        key = f"{request.host}{request.target}"
        if request.method == "PURGE":
            self.bus.publish(TOPIC, key.encode())
            return Response.text(200, "purged")
        stored = self.stored.get(key) if request.method == "GET" else None
        if stored is None:
            return None
        if time.monotonic() < stored.fresh_until:
            return stored.response("hit")
        ctx[STALE] = stored
        request.headers.set("If-None-Match", stored.etag)
        return None

    @hookimpl
    def upstream_response(
        self, request: Request, response: Response, ctx: RequestContext
    ) -> Response | None:
        stale = ctx[STALE]
        if response.status == 304 and stale is not None:
            stale.fresh_until = time.monotonic() + max_age(response)
            return stale.response("revalidated")
        ctx.finish_without_client = is_cacheable(request, response)
        return None

    @hookimpl
    def upstream_error(self, error: HTTPError, ctx: RequestContext) -> Response | None:
        stale = ctx[STALE]
        return None if stale is None else stale.response("stale")

    @hookimpl
    def upstream_response_body(self, request: Request, response: Response) -> BodyFilter | None:
        return Filling(self, request, response) if is_cacheable(request, response) else None


class Filling(BodyFilter):
    """Keeps the body of an answer, and stores it once it is complete."""

    def __init__(self, cache: SmallCache, request: Request, response: Response) -> None:
        self.cache, self.key = cache, f"{request.host}{request.target}"
        self.response, self.chunks = response, list[bytes]()

    def feed(self, chunk: bytes) -> bytes:
        self.chunks.append(chunk)
        return chunk

    def end(self, trailers: Headers) -> bytes:
        self.cache.stored[self.key] = Stored(
            list(self.response.headers.items()),
            b"".join(self.chunks),
            time.monotonic() + max_age(self.response),
            self.response.headers.get("ETag") or '""',
        )
        return b""


def max_age(response: Response) -> int:
    found = MAX_AGE.search(response.headers.get("Cache-Control") or "")
    return int(found[1]) if found else 0


def is_cacheable(request: Request, response: Response) -> bool:
    return request.method == "GET" and response.status == 200 and max_age(response) > 0
