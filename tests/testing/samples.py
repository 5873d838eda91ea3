"""Plugins that these tests run."""

from __future__ import annotations

import logging
import time

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from pingap import (
    BodyFilter,
    Duration,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    hookimpl,
    http_client,
)

log = logging.getLogger("pingap.samples")


class Guard(Plugin):
    """Lets one address in."""

    category = "guard"

    class Settings(PluginSettings):
        allow: str = "10.0.0.1"
        retry: Duration = 60.0

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Response | None:
        if ctx.client_ip(request) == self.settings.allow:
            return None
        response = Response.text(403, "no")
        response.headers.set("Retry-After", f"{self.settings.retry:g}")
        return response


class Faulty(Plugin):
    """Raises."""

    category = "faulty"

    @hookimpl
    def request(self) -> None:
        raise LookupError("no such shelf")


class Age(Plugin):
    """Tells how the clock goes."""

    category = "age"

    def __init__(self, settings: PluginSettings) -> None:
        self.began = time.time(), time.time_ns(), time.monotonic(), time.monotonic_ns()

    @hookimpl
    def request(self) -> Response:
        now = time.time(), time.time_ns(), time.monotonic(), time.monotonic_ns()
        return Response.json(
            [after - before for after, before in zip(now, self.began, strict=True)]
        )


class Talkative(Plugin):
    """Logs what it is asked, in the loop and in a thread."""

    category = "talkative"

    @hookimpl
    async def request(self, request: Request) -> None:
        log.info("asked for %s", request.path)
        await anyio.to_thread.run_sync(log.warning, "from a thread %s", request.path)


class Upper(Plugin):
    """Writes response bodies in capitals."""

    category = "upper"
    body = "rewrites"

    @hookimpl
    def response_body(self) -> BodyFilter:
        return UpperFilter()


class UpperFilter(BodyFilter):
    def feed(self, chunk: bytes) -> bytes:
        return chunk.upper()


class Living(Plugin):
    """Begins and ends."""

    category = "living"
    events: list[str] = []  # noqa: RUF012

    async def startup(self, tasks: TaskGroup) -> None:
        self.events.append("startup")

    async def shutdown(self) -> None:
        self.events.append("shutdown")


class Unstartable(Plugin):
    category = "unstartable"

    async def startup(self, tasks: TaskGroup) -> None:
        raise OSError("the database is away")


class Asks(Plugin):
    """Answers with what another service says."""

    category = "asks"

    class Settings(PluginSettings):
        url: str

    def __init__(self, settings: Settings) -> None:
        self.url = settings.url

    @hookimpl
    async def request(self) -> Response:
        answer = await http_client.request("GET", self.url)
        return Response.text(answer.status, answer.body.decode())
