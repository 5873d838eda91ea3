"""``Retry`` of ``upstream_response``: a plugin does not want a response, and has the request sent again."""

from __future__ import annotations

from typing import Any

import anyio.lowlevel
import pytest

from pingap import Plugin, Request, RequestContext, Response, Retry, hookimpl
from pingap.testing import Proxy, Upstream
from pingap.testing.served import Received, Served


class Again(Plugin):
    """Asks without conditions if the upstream answers 304."""

    category = "again"
    contract = "1.1"

    def __init__(self, *, late: bool = False) -> None:
        self.late = late

    @hookimpl
    def upstream_response(self, request: Request, response: Response, ctx: RequestContext) -> Any:
        if response.status != 304:
            return None
        headers = request.headers.copy()
        headers.remove("If-None-Match")
        retry = Retry(headers=headers)
        return self.soon(retry) if self.late else retry

    async def soon(self, retry: Retry) -> Retry:
        await anyio.lowlevel.checkpoint()
        return retry


class Rescue(Plugin):
    category = "rescue"
    contract = "1.1"

    @hookimpl
    def upstream_error(self, request: Request) -> Response:
        return Response.text(200, "rescued")


class Seen(Plugin):
    category = "seen"
    contract = "1.1"

    def __init__(self) -> None:
        self.statuses: list[int] = []

    @hookimpl(tryfirst=True)
    def upstream_response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        self.statuses.append(response.status)


def conditional(served: Served, request: Received) -> None:
    if request.header("if-none-match"):
        served.respond(b"", 304)
    elif request.path == "/lost":
        served.close()
    else:
        served.respond(b"whole", headers={"X-Got": request.header("x-set") or ""})


@pytest.mark.parametrize("late", [False, True])
def test_the_request_is_sent_again(proxy: Proxy, upstream: Upstream, late: bool) -> None:
    seen = Seen()
    proxy.location(plugins=[Again(late=late), seen], proxy_set_headers=["X-Set: yes"])
    upstream.on("/a", conditional)
    answer = proxy.get("/a", headers={"If-None-Match": '"v1"'})
    assert (answer.status, answer.body, answer.headers["X-Got"]) == (200, b"whole", "yes")
    assert seen.statuses == [304, 200]
    assert [one.header("if-none-match") for one in upstream.requests] == ['"v1"', None]
    assert proxy.get("/a").body == b"whole"


def test_a_request_with_a_body_is_not(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location(plugins=[Again()])
    upstream.on("/a", conditional)
    answer = proxy.request("POST", "/a", headers={"If-None-Match": '"v1"'}, body=b"abc")
    assert answer.status == 304
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("rescued", [False, True])
def test_the_upstream_fails_then(proxy: Proxy, upstream: Upstream, rescued: bool) -> None:
    proxy.location(plugins=[Again(), *([Rescue] if rescued else [])])
    upstream.on("/lost", conditional)
    answer = proxy.get("/lost", headers={"If-None-Match": '"v1"'})
    assert answer.status == (200 if rescued else 502)
    assert len(upstream.requests) == 2
