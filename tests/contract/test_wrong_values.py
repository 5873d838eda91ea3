"""What plugins do wrong is told with their name, file and line, and answered 500: never cut, never lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from pingap import (
    BodyFilter,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    WholeBodyFilter,
    hookimpl,
)
from pingap.testing import Proxy, Upstream

HERE = Path(__file__).name


async def text() -> AsyncIterator[Any]:
    yield "text"


async def broken() -> AsyncIterator[bytes]:
    raise SystemExit(3)
    yield b""


def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    async def produce() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return produce()


class NoneFilter(BodyFilter):
    def feed(self, chunk: bytes) -> bytes:
        return None  # type: ignore[return-value]


class TextFilter(WholeBodyFilter):
    def change(self, body: bytes) -> bytes:
        return "text"  # type: ignore[return-value]


REQUEST: dict[str, Callable[[Request, RequestContext], Any]] = {
    "request_id": lambda request, ctx: setattr(ctx, "request_id", "a\nb"),
    "request_id_type": lambda request, ctx: setattr(ctx, "request_id", 7),
    "upstream": lambda request, ctx: setattr(ctx, "upstream", None),
    "method": lambda request, ctx: setattr(request, "method", "GET /x"),
    "host": lambda request, ctx: setattr(request, "host", None),
    "path": lambda request, ctx: setattr(request, "path", "/other"),
    "framing": lambda request, ctx: setattr(request, "content_length", 5),
    "header_value": lambda request, ctx: request.headers.set("X-A", "a\0b"),
    "header_name": lambda request, ctx: request.headers.set("X A", "b"),
    "prepared": lambda request, ctx: request.headers.append((b"x-a", b"X-A: \0")),
    "str": lambda request, ctx: "text",
    "exit": lambda request, ctx: (_ for _ in ()).throw(SystemExit(1)),
    "interrupt": lambda request, ctx: (_ for _ in ()).throw(KeyboardInterrupt()),
    "cancelled": lambda request, ctx: (_ for _ in ()).throw(asyncio.CancelledError()),
    "group": lambda request, ctx: (_ for _ in ()).throw(BaseExceptionGroup("", [SystemExit(1)])),
    "recursion": lambda request, ctx: REQUEST["recursion"](request, ctx),
    "producer_text": lambda request, ctx: Response(200, text()),
    "producer_exit": lambda request, ctx: Response(200, broken()),
}
RESPONSE: dict[str, Callable[[Response], Any]] = {
    "status_none": lambda response: setattr(response, "status", None),
    "status_99": lambda response: setattr(response, "status", 99),
    "status_text": lambda response: setattr(response, "status", "200"),
    "headers": lambda response: setattr(response, "headers", {"A": "b"}),
    "reason": lambda response: setattr(response, "reason", b"OK\r\nX: y"),
    "length": lambda response: setattr(response, "content_length", 3),
    "body_of_upstream": lambda response: setattr(response, "body", b"other"),
    "none_filter": lambda response: NoneFilter(),
    "text_filter": lambda response: TextFilter(1000),
}


class Wrong(Plugin):
    """Does what the path says."""

    category = "wrong"
    body = "rewrites"

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Response | None:
        what = REQUEST.get(request.path[1:])
        return what(request, ctx) if what is not None else None

    @hookimpl
    def response(self, request: Request, response: Response) -> None:
        if response.status == 200 and not request.path.endswith("_filter"):
            RESPONSE.get(request.path[1:], lambda _: None)(response)

    @hookimpl
    def response_body(self, request: Request, response: Response) -> BodyFilter | None:
        wanted = request.path.endswith("_filter")
        return RESPONSE[request.path[1:]](response) if wanted else None


class WrongLater(Wrong):
    """Does it after it has waited."""

    category = "wrong_later"

    @hookimpl
    async def request(  # type: ignore[override]
        self, request: Request, ctx: RequestContext
    ) -> Response | None:
        await anyio.sleep(0.001)
        return super().request(request, ctx)


@pytest.mark.parametrize("plugin", [Wrong, WrongLater])
@pytest.mark.parametrize("http2", [False, True])
def test_wrong_value_is_the_plugins_fault(
    proxy: Proxy, upstream: Upstream, plugin: type[Wrong], http2: bool
) -> None:
    proxy.location("/", plugins=[plugin(PluginSettings())], name="all")
    proxy.configure("servers.web", enabled_h2=True, access_log="{method} {uri} {status} END")
    client = proxy.connect_http2() if http2 else proxy.connect()
    cases = [*REQUEST, *RESPONSE]
    for case in cases:
        answer = client.get(f"/{case}")
        assert answer.status == 500, case
        assert answer.complete
        assert client.get("/fine").status == 200, case
        told = proxy.expect_error("location all, at")
        assert f"{HERE}:" in told.splitlines()[0], (case, told)
        assert "plugin wrong" in told, case
    assert "bug in pingap" not in proxy.log
    lines = proxy.wait_for_access_log(2 * len(cases))
    assert all(line.endswith(" END") for line in lines)


class Late(Plugin):
    """Changes heads when they are gone."""

    category = "late"
    body = "rewrites"

    @hookimpl
    def upstream_response(self, request: Request) -> None:
        if request.path == "/request":
            request.headers.set("X-Late", "a")
        if request.path == "/rewrite":
            request.rewrite("/late")

    @hookimpl
    def response_body(self, request: Request, response: Response) -> BodyFilter:
        return Sum(request.path, response)

    @hookimpl
    def logging(self, request: Request, response: Response) -> None:
        if request.path == "/logging":
            response.headers.set("X-Late", "b")


class Sum(WholeBodyFilter):
    def __init__(self, path: str, response: Response) -> None:
        super().__init__(1000)
        self.path, self.response = path, response

    def change(self, body: bytes) -> bytes:
        if self.path == "/status":
            self.response.status = 422
        if self.path == "/header":
            self.response.headers.set("X-Sum", "1")
        if self.path == "/fields":
            self.response.headers.fields = []
        return body


@pytest.mark.parametrize("http2", [False, True])
def test_head_that_is_changed_too_late_raises(
    proxy: Proxy, upstream: Upstream, http2: bool
) -> None:
    proxy.location("/", plugins=[Late(PluginSettings())])
    proxy.configure("servers.web", enabled_h2=True)
    client = proxy.connect_http2() if http2 else proxy.connect()
    for case, line in {
        "status": "response.status can no longer be changed",
        "header": "the header 'x-sum' can no longer be set",
        "fields": "header fields can no longer be changed",
        "request": "the header 'x-late' can no longer be set",
        "rewrite": "the request can no longer be rewritten",
    }.items():
        assert client.get(f"/{case}").status == 500, case
        told = proxy.expect_error(line)
        assert f"{HERE}:" in told
    assert client.get("/logging").status == 200
    proxy.expect_error("failed in logging")


class Same(Plugin):
    """Answers with the same response each time, and adds to it."""

    category = "same"

    def __init__(self, settings: PluginSettings) -> None:
        self.answer = Response.text(200, "same")

    @hookimpl
    def request(self) -> Response:
        return self.answer

    @hookimpl
    def response(self, response: Response) -> None:
        response.headers.set("X-A", "b")


def test_response_that_is_sent_again_is_another_one(proxy: Proxy) -> None:
    proxy.location("/", plugins=[Same(PluginSettings())])
    for _ in range(3):
        answer = proxy.get("/")
        assert (answer.status, answer.text, answer.headers["X-A"]) == (200, "same", "b")


class Produce(Plugin):
    """Announces another length than its body has."""

    category = "produce"

    @hookimpl
    def request(self, request: Request) -> Response:
        response = Response(200, chunks(b"abc", b"def"))
        response.content_length = int(request.path[1:])
        return response


def test_body_of_another_length_than_announced_names_the_plugin(proxy: Proxy) -> None:
    proxy.location("/", plugins=[Produce(PluginSettings())])
    assert proxy.get("/6").text == "abcdef"
    for length in ("5", "7"):
        assert not proxy.connect().get(f"/{length}").complete
    proxy.expect_error("the body has more bytes than its content_length of 5")
