"""``ctx.send_in_background``: a request goes on to the upstream, although a plugin has answered the client's."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from support.waiting import until

from pingap import (
    BodyFilter,
    ContextKey,
    Headers,
    Plugin,
    Request,
    RequestContext,
    RequestOutcome,
    Response,
    hookimpl,
)
from pingap.downstream import listener
from pingap.testing import Proxy, Upstream, make_context, make_request
from pingap.testing.served import Received, Served


class Keep(BodyFilter):
    """Keeps a body."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes
        self.body = b""

    def feed(self, chunk: bytes) -> bytes:
        self.body += chunk
        return chunk

    def end(self, trailers: Headers) -> bytes:
        self.notes.append(f"kept {self.body.decode()}")
        return b""

    def abandoned(self, outcome: RequestOutcome) -> None:
        self.notes.append(f"abandoned {outcome}")


class Note(Plugin):
    """Notes its phases."""

    category = "notes"
    name = "note"

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    def note(self, phase: str, ctx: RequestContext) -> None:
        self.notes.append(f"{self.name} {phase}{' behind' if ctx.in_background else ''}")

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> None:
        self.note("request", ctx)
        request.headers.set(f"X-{self.name}", "seen")

    @hookimpl
    def response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        self.note("response", ctx)

    @hookimpl
    def logging(self, request: Request, response: Response | None, ctx: RequestContext) -> None:
        self.note("logging", ctx)


class Ahead(Note):
    name = "ahead"


class Behind(Note):
    name = "behind"


class Refresh(Plugin):
    """Answers at once, and lets the request go on."""

    category = "cache"
    body = "reads"
    contract = "1.1"
    value = ContextKey[str]("test", "none")

    def __init__(self, notes: list[str], *, wait: bool = False) -> None:
        self.notes = notes
        self.wait = wait

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Any:
        return self.answer_later(request, ctx) if self.wait else self.answer(request, ctx)

    async def answer_later(self, request: Request, ctx: RequestContext) -> Response:
        await anyio.lowlevel.checkpoint()
        return self.answer(request, ctx)

    def answer(self, request: Request, ctx: RequestContext) -> Response:
        ctx[self.value] = "client"
        copy = request.copy()
        copy.headers.set("X-Copy", "yes")
        copy.method = "GET"
        behind = ctx.send_in_background(copy)
        behind[self.value] = "background"
        return Response.text(200, "stale")

    @hookimpl
    def upstream_response(
        self, request: Request, response: Response, ctx: RequestContext
    ) -> Response | None:
        self.notes.append(f"got {response.status} {ctx[self.value]} {ctx.location} {ctx.user}")
        return Response(204) if request.path == "/replaced" else None

    @hookimpl
    def upstream_response_body(
        self, request: Request, response: Response, ctx: RequestContext
    ) -> BodyFilter:
        return Keep(self.notes)


class User(Plugin):
    category = "user"

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> None:
        ctx.user = "anna"


@pytest.fixture
def notes() -> list[str]:
    return []


def refreshing(proxy: Proxy, notes: list[str], **more: Any) -> None:
    plugins = [User, Ahead(notes), Refresh(notes, **more), Behind(notes)]
    proxy.location(name="refreshing", plugins=plugins, proxy_set_headers=["X-Location: set"])


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_it_takes_the_rest_of_the_path(
    proxy: Proxy, upstream: Upstream, notes: list[str], method: str, wait: bool
) -> None:
    refreshing(proxy, notes, wait=wait)
    upstream.reply("/a", b"fresh")
    answer = proxy.request(method, "/a")
    assert answer.body == (b"" if method == "HEAD" else b"stale")
    until(lambda: "behind logging behind" in notes)
    received = upstream.received_once()
    assert received.method == "GET"
    for name in ("X-ahead", "X-behind"):
        assert received.header(name) == "seen"
    assert (received.header("X-Copy"), received.header("X-Location")) == ("yes", "set")
    assert "got 200 background refreshing anna" in notes
    assert "kept fresh" in notes
    assert [one for one in notes if one.endswith(" behind")] == [
        "behind request behind",
        "behind logging behind",
    ]
    assert [one for one in notes if one.startswith("ahead")] == [
        "ahead request",
        "ahead response",
        "ahead logging",
    ]


def test_the_client_does_not_wait(proxy: Proxy, upstream: Upstream, notes: list[str]) -> None:
    refreshing(proxy, notes)
    go = threading.Event()

    def slow(served: Served, request: Received) -> None:
        go.wait(10)
        served.respond(b"fresh")

    upstream.on("/a", slow)
    with proxy.connect() as client:
        for _ in range(2):
            assert client.get("/a").body == b"stale"
    assert "kept fresh" not in notes
    go.set()
    until(lambda: notes.count("kept fresh") == 2)


def test_over_http2(proxy: Proxy, upstream: Upstream, notes: list[str]) -> None:
    refreshing(proxy, notes)
    upstream.reply("/a", b"fresh")
    proxy.configure("servers.web", enabled_h2=True)
    with proxy.connect_http2() as client:
        assert client.get("/a").body == b"stale"
    until(lambda: "kept fresh" in notes)


@pytest.mark.parametrize(
    ("path", "note"),
    [("/missing", "got 404 background refreshing anna"), ("/replaced", "got 200 background")],
)
def test_other_responses(
    proxy: Proxy, upstream: Upstream, notes: list[str], path: str, note: str
) -> None:
    refreshing(proxy, notes)
    upstream.reply("/missing", b"", 404)
    upstream.reply("/replaced", b"fresh")
    assert proxy.get(path).body == b"stale"
    until(lambda: "behind logging behind" in notes)
    assert any(one.startswith(note) for one in notes)
    assert "kept fresh" not in notes


def test_an_upstream_that_fails(proxy: Proxy, upstream: Upstream, notes: list[str]) -> None:
    refreshing(proxy, notes)

    def broken(served: Served, request: Received) -> None:
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        served.close()

    upstream.on("/broken", broken)
    upstream.on("/closed", lambda served, request: served.close())
    for path, note in (("/broken", f"abandoned {RequestOutcome.BROKEN_OFF}"), ("/closed", "")):
        notes.clear()
        assert proxy.get(path).body == b"stale"
        until(lambda: "behind logging behind" in notes)
        assert not note or note in notes
        assert not any(one.startswith("kept") for one in notes)
    proxy.wait_for_log("closed the connection unanswered")


def test_too_many(
    proxy: Proxy, upstream: Upstream, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "MOST_UNATTENDED", 1)
    refreshing(proxy, notes)
    go = threading.Event()

    def slow(served: Served, request: Received) -> None:
        go.wait(10)
        served.respond(b"fresh")

    upstream.on("/a", slow)
    with proxy.connect() as client:
        for _ in range(3):
            assert client.get("/a").body == b"stale"
    until(lambda: len(upstream.requests) == 1)
    go.set()
    until(lambda: "kept fresh" in notes)
    until(lambda: notes.count("behind logging behind") == 3)
    assert notes.count("kept fresh") == 1


def test_it_has_no_body() -> None:
    request = make_request("POST")
    request.content_length = 3
    with pytest.raises(ValueError, match="has a body"):
        make_context().send_in_background(request)
