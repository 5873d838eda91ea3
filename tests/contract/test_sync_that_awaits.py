"""A sync implementation of a phase may return an awaitable in place of its result."""

from __future__ import annotations

from collections.abc import Awaitable

import anyio
import pytest

from pingap import BodyFilter, HTTPError, Plugin, Request, RequestContext, Response, hookimpl
from pingap.testing import Proxy, Upstream


class Seldom(Plugin):
    """Answers at once, or looks somewhere first."""

    category = "seldom"
    body = "reads"

    @hookimpl
    def request(self, request: Request) -> Response | Awaitable[Response | None] | None:
        if request.path == "/at-once":
            return Response.text(200, "at once")
        return self._look(request)

    async def _look(self, request: Request) -> Response | None:
        await anyio.sleep(0.001)
        if request.path == "/missing":
            raise HTTPError(404, "It is not there")
        return Response.text(200, "found") if request.path == "/found" else None

    @hookimpl
    def upstream_response(self, response: Response) -> Awaitable[Response | None]:
        return self._change(response)

    async def _change(self, response: Response) -> None:
        await anyio.sleep(0.001)
        response.headers.set("X-Seen", "yes")

    @hookimpl
    def response_body(self) -> Awaitable[BodyFilter]:
        return self._filter()

    async def _filter(self) -> BodyFilter:
        await anyio.sleep(0.001)
        return BodyFilter()


@pytest.mark.parametrize("timed", [False, True])
def test_what_it_returns_is_awaited(proxy: Proxy, upstream: Upstream, timed: bool) -> None:
    proxy.location(plugins=[Seldom], plugin_timing=timed)
    assert [proxy.get(path).text for path in ("/at-once", "/found")] == ["at once", "found"]
    assert proxy.get("/missing").status == 404
    assert upstream.requests == []
    answer = proxy.get("/elsewhere")
    assert (answer.status, answer.headers["X-Seen"]) == (200, "yes")
    assert upstream.received_once().path == "/elsewhere"


def test_its_time_is_limited(proxy: Proxy) -> None:
    class Slow(Plugin):
        category = "slow"

        @hookimpl
        def request(self, ctx: RequestContext) -> Awaitable[None]:
            return anyio.sleep_forever()

    proxy.location(plugins=[(Slow, {"timeout": "50ms"})])
    assert proxy.get("/").status == 500
    proxy.expect_error("longer than its timeout")
