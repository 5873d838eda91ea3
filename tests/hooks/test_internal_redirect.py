"""``Response.internal_redirect``: a plugin lets an internal location answer."""

from __future__ import annotations

from pingap import Plugin, Request, RequestContext, Response, hookimpl
from pingap.testing import Proxy, Upstream


class Redirecting(Plugin):
    """Redirects every request, and records its phases."""

    category = "redirecting"

    def __init__(self, settings: object) -> None:
        self.seen: list[str] = []

    @hookimpl
    def request(self, request: Request) -> Response | None:
        return Response.internal_redirect("/inside?a=%20b")

    @hookimpl
    def response(self, request: Request, response: Response) -> None:
        self.seen.append(f"response {request.method} {request.target} {response.status}")

    @hookimpl
    def logging(self, request: Request) -> None:
        self.seen.append(f"logging {request.method} {request.target}")


class Inside(Plugin):
    """Reads the body, and records its phases."""

    category = "inside"

    def __init__(self, settings: object) -> None:
        self.seen: list[str] = []

    @hookimpl
    async def request(self, request: Request, ctx: RequestContext) -> None:
        body = await ctx.read_body(1024)
        self.seen.append(f"request {request.method} {request.target} {len(body)}")

    @hookimpl
    def logging(self, request: Request, ctx: RequestContext) -> None:
        self.seen.append(f"logging {ctx.location} {ctx.original.target}")


def test_the_phases_of_both_locations(proxy: Proxy, upstream: Upstream) -> None:
    outside, inside = Redirecting(Redirecting.Settings()), Inside(Inside.Settings())
    proxy.location("/outside", plugins=[outside])
    proxy.location("/inside", plugins=[inside], internal=True)
    with proxy.connect() as client:
        for _ in range(2):
            answer = client.request("PUT", "/outside", body=b"x" * 1_000_000)
            assert (answer.status, answer.body) == (200, b"ok")
    assert [one.target for one in upstream.requests] == ["/inside?a=%20b"] * 2
    assert {one.body for one in upstream.requests} == {b""}
    assert inside.seen[0] == "request GET /inside?a=%20b 0"
    assert inside.seen[1].endswith(" /outside")
    assert outside.seen[:2] == ["response PUT /outside 200", "logging PUT /outside"]
    assert len(outside.seen) == len(inside.seen) == 4


def test_a_body_that_is_still_coming_is_dropped(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/outside", plugins=[Redirecting])
    proxy.location("/inside", internal=True)
    with proxy.connect() as client:
        client.send(b"POST /outside HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        assert client.read_until(b"\r\n") == b"HTTP/1.1 200 OK\r\n"
        client.send(b"67890")
    assert upstream.received_once().body == b""


def test_without_an_internal_location_it_is_an_error(proxy: Proxy) -> None:
    proxy.location("/outside", plugins=[Redirecting])
    proxy.location("/inside")
    assert proxy.get("/outside").status == 404
