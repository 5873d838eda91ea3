"""Origins: plugins that answer requests within the process, in place of an upstream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from pydantic import Field
from support.h2_websocket import H2WebSocket

from pingap import (
    BodyFilter,
    DirectoryPath,
    Headers,
    HTTPError,
    Origin,
    OriginCall,
    Plugin,
    PluginSettings,
    RequestContext,
    Response,
    Retry,
    hookimpl,
)
from pingap.testing import Proxy, Upstream, configuration_problems

Answer = Callable[[OriginCall], Awaitable[None]]
TASKS: set[asyncio.Task[None]] = set()


class Own(Origin):
    """Answers with a coroutine function of a test."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("own")
        self._answer = answer

    def answer(self, call: OriginCall) -> None:
        task = asyncio.get_running_loop().create_task(self._run(call))
        TASKS.add(task)
        task.add_done_callback(TASKS.discard)

    async def _run(self, call: OriginCall) -> None:
        try:
            await self._answer(call)
        except Exception as error:
            call.fail(error)
        finally:
            call.release()


class Provider(Plugin):
    category = "provider"
    contract = "1.1"
    sets_origin = True

    def __init__(self, origin: Origin) -> None:
        self.origin = origin

    @hookimpl
    def early_request(self, ctx: RequestContext) -> None:
        ctx.origin = self.origin


def serve(proxy: Proxy, answer: Answer, *plugins: Plugin, **keys: object) -> Proxy:
    proxy.location("/", plugins=[Provider(Own(answer)), *plugins], **keys)
    return proxy


async def hello(call: OriginCall) -> None:
    call.answer(200, Headers({"X-Path": call.request.path}), b"hello")


async def echo(call: OriginCall) -> None:
    call.begin(200, Headers())
    while data := await call.read():
        await call.send(data)
    call.end()


async def chat(call: OriginCall) -> None:
    websocket = call.accept_websocket(Headers(), message_limit=1000)
    while (message := await websocket.receive()) is not None:
        await websocket.send(message)


def test_no_upstream_is_needed(proxy: Proxy, upstream: Upstream) -> None:
    serve(proxy, hello, upstream="")
    proxy.configure("servers.web", access_log="{status} {:upstream_addr} {:upstream_status}")
    answer = proxy.get("/a")
    assert (answer.status, answer.body, answer.header("x-path")) == (200, b"hello", "/a")
    assert upstream.requests == []
    assert proxy.access_log == ["200 own 200"]
    assert proxy.metrics().value("pingap_http_requests_total", location="root") == 1


def test_a_body_passes_in_both_directions(proxy: Proxy) -> None:
    body = [b"a" * 100_000, b"b", b"c" * 100_000]
    assert serve(proxy, echo).request("POST", "/", body=body).body == b"".join(body)


def test_over_http2(proxy: Proxy) -> None:
    serve(proxy, echo)
    proxy.configure("servers.web", enabled_h2=True)
    with proxy.connect_http2() as client:
        assert client.request("POST", "/", body=bytes(300_000)).body == bytes(300_000)


def test_a_websocket_over_http2(proxy: Proxy) -> None:
    serve(proxy, chat)
    proxy.configure("servers.web", enabled_h2=True)
    proxy.start()
    with H2WebSocket(proxy) as client:
        client.send(b"hello")
        assert client.receive() == b"hello"
        assert client.close() == 4000


class Chooser(Plugin):
    category = "chooser"

    @hookimpl
    def request(self, ctx: RequestContext) -> None:
        ctx.upstream = "upstream"


def test_an_upstream_that_a_plugin_chooses_takes_precedence(
    proxy: Proxy, upstream: Upstream
) -> None:
    serve(proxy, hello, Chooser(PluginSettings()), upstream="")
    assert proxy.get("/a").body == b"ok"
    assert upstream.received_once().path == "/a"


class Recorder(Plugin):
    """Takes part in every phase around an upstream."""

    category = "recorder"
    body = "rewrites"
    contract = "1.1"

    def __init__(self) -> None:
        self.phases: list[str] = []

    @hookimpl
    def proxy_upstream(self) -> None:
        self.phases.append("proxy_upstream")

    @hookimpl
    def upstream_request(self, headers: Headers) -> None:
        self.phases.append("upstream_request")
        headers.set("X-Attempt", "yes")

    @hookimpl
    def request_body(self) -> BodyFilter:
        self.phases.append("request_body")
        return Upper()

    @hookimpl
    def upstream_response(self, response: Response) -> None:
        self.phases.append("upstream_response")
        response.headers.set("X-Seen", str(response.status))

    @hookimpl
    def upstream_response_body(self) -> BodyFilter:
        self.phases.append("upstream_response_body")
        return Upper()

    @hookimpl
    def logging(self, ctx: RequestContext) -> None:
        self.phases.append(f"logging {ctx.upstream} {ctx.upstream_status}")


class Upper(BodyFilter):
    def feed(self, chunk: bytes) -> bytes:
        return chunk.upper() + b"!"


def test_all_phases_around_an_upstream_run(proxy: Proxy) -> None:
    async def answer(call: OriginCall) -> None:
        assert call.headers.get("x-attempt") == "yes"
        assert call.headers.get("x-set") == "by the location"
        assert "content-length" not in call.headers  # the filter changes it
        data = b""
        while piece := await call.read():
            data += piece
        call.answer(201, Headers(), data)

    recorder = Recorder()
    serve(proxy, answer, recorder, proxy_set_headers=["X-Set: by the location"])
    got = proxy.request("POST", "/", body=b"abc")
    assert (got.status, got.body, got.header("x-seen")) == (201, b"ABC!!", "201")
    assert recorder.phases == [
        "proxy_upstream",
        "request_body",
        "upstream_request",
        "upstream_response",
        "upstream_response_body",
        "logging own 201",
    ]


class Rescue(Plugin):
    category = "rescue"
    contract = "1.1"

    def __init__(self, retry: bool) -> None:
        self.retry = retry

    @hookimpl
    def upstream_error(self, error: HTTPError, ctx: RequestContext) -> Response | Retry | None:
        if not self.retry:
            return Response.text(200, f"instead of {error.status}")
        tries = ctx.state["tries"] = ctx.state.get("tries", 0) + 1
        return Retry() if tries == 1 else None


async def fail(call: OriginCall) -> None:
    raise LookupError("no such shelf")


def test_a_plugin_answers_instead_of_an_origin_that_fails(proxy: Proxy) -> None:
    assert serve(proxy, fail, Rescue(retry=False)).get("/").text == "instead of 502"
    assert "own failed" in proxy.expect_error("no such shelf")


def test_an_origin_is_asked_again(proxy: Proxy) -> None:
    calls: list[OriginCall] = []

    async def answer(call: OriginCall) -> None:
        calls.append(call)
        if len(calls) == 1:
            raise LookupError("no such shelf")
        await hello(call)

    assert serve(proxy, answer, Rescue(retry=True)).get("/").body == b"hello"
    proxy.expect_error("no such shelf")


class Again(Plugin):
    category = "again"
    contract = "1.1"

    @hookimpl
    def upstream_response(self, response: Response) -> Response | Retry | None:
        if response.status == 503:
            return Retry()
        return Response.text(200, "another") if response.status == 500 else None


@pytest.mark.parametrize(("status", "text"), [(503, "hello"), (500, "another")])
def test_a_plugin_does_not_want_a_response(proxy: Proxy, status: int, text: str) -> None:
    statuses: Iterator[int] = iter([status, 200])

    async def answer(call: OriginCall) -> None:
        call.begin(next(statuses), Headers(), b"hel")
        await call.send(b"lo")
        call.end()

    assert serve(proxy, answer, Again(PluginSettings())).get("/").text == text


def test_an_origin_that_fails_at_once(proxy: Proxy) -> None:
    class Broken(Origin):
        def answer(self, call: OriginCall) -> None:
            raise LookupError("no such shelf")

    proxy.location("/", plugins=[Provider(Broken("broken"))])
    assert proxy.get("/").status == 502
    assert "broken failed" in proxy.expect_error("no such shelf")


def test_an_origin_that_answers_at_once(proxy: Proxy) -> None:
    class Quick(Origin):
        def answer(self, call: OriginCall) -> None:
            call.answer(200, Headers(), call.request.method.encode())
            call.release()

    proxy.location("/", plugins=[Provider(Quick("quick"))])
    assert proxy.get("/").body == b"GET"
    assert proxy.request("POST", "/", body=b"unread").body == b"POST"


def test_a_client_that_leaves_ends_the_call(proxy: Proxy) -> None:
    gone: list[object] = []

    async def answer(call: OriginCall) -> None:
        call.begin(200, Headers(), b"x")
        await call.wait_over()
        gone.append((call.is_gone, await call.read(), await call.send(b"y")))

    with serve(proxy, answer).connect() as client:
        client.send_request("GET", "/")
        client.read_head()
    proxy.stop()
    assert gone == [(True, None, False)]


def test_a_directory_is_a_setting(tmp_path: Path) -> None:
    class Folders(Plugin):
        category = "folders"

        class Settings(PluginSettings):
            folder: DirectoryPath = Field(default=Path(), validate_default=True)

    toml = '[plugins.one]\ncategory = "folders"\nfolder = "{}"'
    assert configuration_problems(toml.format(tmp_path), categories=[Folders]) == []
    [problem] = configuration_problems(toml.format(tmp_path / "none"), categories=[Folders])
    assert problem.endswith('none" is not a directory')
    assert isinstance(Folders.Settings().folder, Path)
    assert Folders.Settings().folder == Path.cwd()


def test_who_answers_is_a_rule_of_the_configuration(proxy: Proxy) -> None:
    """A location with an origin is not one that answers every request with 503."""
    serve(proxy, hello, upstream="")
    proxy.start()
    assert "503" not in proxy.log
