"""What a plugin class declares, and what the operator may choose, is enforced by the core."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
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
from pingap.testing import (
    Clock,
    Proxy,
    Upstream,
    configuration_problems,
    filter_every_cut,
)


class Fragile(Plugin):
    """Raises for every request."""

    category = "fragile"
    may_fail_open = True

    @hookimpl
    def request(self, request: Request) -> None:
        raise RuntimeError("fragile")


class LateFragile(Fragile):
    category = "late_fragile"

    @hookimpl
    async def request(self, request: Request) -> None:
        await anyio.lowlevel.checkpoint()
        raise RuntimeError("fragile")


class Guard(Plugin):
    """Lets nobody pass."""

    category = "gate"
    guard = True

    @hookimpl
    def request(self) -> Response:
        return Response.text(403, "no")


class Slow(Plugin):
    """Waits for ever, and notes that it was cancelled."""

    category = "slow"
    may_fail_open = True
    cancelled = 0

    @hookimpl
    async def request(self) -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            Slow.cancelled += 1
            raise


class Whole(Plugin):
    """Answers with what it was given of the body, or only notes its size for the upstream."""

    category = "whole"
    adds_headers = ("X-Size",)

    class Settings(PluginSettings):
        limit: int = 10
        answer: bool = False

    def __init__(self, settings: Settings) -> None:
        self.whole_request_body = settings.limit
        self.answer = settings.answer

    @hookimpl
    def request(self, request: Request) -> Response | None:
        assert request.body is not None
        request.headers.set("X-Size", str(len(request.body)))
        return Response(200, request.body) if self.answer else None


class User(Plugin):
    """Says who it is, to the upstream."""

    category = "user"
    adds_headers = ("X-User",)

    class Settings(PluginSettings):
        name: str = ""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.name

    @hookimpl
    def request(self, request: Request) -> None:
        if self.name:
            request.headers.set("X-User", self.name)


class Reader(Plugin):
    """Wants to know what the client says of itself."""

    category = "reader"
    reads_headers = ("x-user",)

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> None:
        ctx.request_id = request.header("X-User") or "nobody"


TOML = """
[plugins.p]
category = "{category}"
{keys}
[upstreams.u]
addrs = ["{addr}"]
[locations.l]
upstream = "u"
plugins = ["p"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["l"]
prometheus_metrics = "/metrics"
"""
CLASSES: list[type[Plugin]] = [Fragile, LateFragile, Guard, Slow, Whole, User, Reader]


def toml(upstream: Upstream, category: str, keys: str = "") -> str:
    return TOML.format(category=category, keys=keys, addr=upstream.addr)


@pytest.mark.parametrize("category", ["fragile", "late_fragile"])
def test_a_plugin_fails_closed_unless_the_operator_opens_it(
    start_proxy: Any, upstream: Upstream, category: str
) -> None:
    closed = start_proxy(toml(upstream, category), categories=CLASSES)
    assert closed.get("/").status == 500
    closed.expect_error("plugin p failed in request, location l, at ")
    assert upstream.requests == []
    opened = start_proxy(toml(upstream, category, "fail_open = true"), categories=CLASSES)
    assert opened.get("/").status == 200
    opened.expect_error("plugin p failed in request, location l, at ")
    assert opened.metrics().value("pingap_plugin_failures", plugin="p") == 1


@pytest.mark.parametrize(
    ("category", "why"),
    [("gate", "it is a guard"), ("user", "its class does not allow it")],
)
def test_only_what_its_class_allows_fails_open(category: str, why: str) -> None:
    text = f'[plugins.p]\ncategory = "{category}"\nfail_open = true\n'
    [problem] = configuration_problems(text, categories=CLASSES)
    assert problem == f"pingap.toml:3: plugins.p.fail_open: {category} cannot fail open: {why}"


def test_a_guard_that_may_fail_open_is_no_plugin() -> None:
    class Odd(Guard):
        category = "odd"
        may_fail_open = True

    with pytest.raises(Exception, match="a guard cannot fail open"):
        configuration_problems('[plugins.p]\ncategory = "odd"\n', categories=[Odd])


@pytest.mark.parametrize(("keys", "status"), [("", 500), ("fail_open = true\n", 200)])
def test_an_async_hook_has_a_time_limit(
    start_proxy: Any, upstream: Upstream, clock: Clock, keys: str, status: int
) -> None:
    before = Slow.cancelled
    proxy = start_proxy(toml(upstream, "slow", f'{keys}timeout = "5s"'), categories=CLASSES)
    with proxy.connect() as client:
        client.send_request("GET", "/")
        clock.advance(4.9)
        assert Slow.cancelled == before
        clock.advance(0.2)
        assert client.answer().status == status
    proxy.expect_error("TimeoutError: it took longer than its timeout")
    assert Slow.cancelled == before + 1


def test_the_default_time_limit_is_30_seconds(
    start_proxy: Any, upstream: Upstream, clock: Clock
) -> None:
    proxy = start_proxy(toml(upstream, "slow"), categories=CLASSES)
    with proxy.connect() as client:
        client.send_request("GET", "/")
        clock.advance(29)
        clock.advance(2)
        assert client.answer().status == 500
    proxy.expect_error("TimeoutError")


def test_a_failure_is_told_once_with_its_place_and_counted_always(
    start_proxy: Any, upstream: Upstream, clock: Clock
) -> None:
    proxy = start_proxy(toml(upstream, "fragile"), categories=CLASSES)
    for _ in range(5):
        assert proxy.get("/").status == 500
    proxy.expect_error("RuntimeError: fragile")
    assert proxy.log.count("plugin p failed in request") == 1
    assert f"{__file__}:" in proxy.log
    assert proxy.metrics().value("pingap_plugin_failures", plugin="p") == 5
    clock.advance(11)
    proxy.get("/")
    proxy.expect_error("RuntimeError: fragile")
    assert "(4 more since it was last logged)" in proxy.log


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("answer", [False, True])
def test_a_plugin_gets_the_whole_request_body(
    proxy: Proxy, upstream: Upstream, chunked: bool, answer: bool
) -> None:
    proxy.location("/", plugins=[(Whole, {"answer": answer})])
    body = [b"01", b"234", b"56789"]
    response = proxy.request("POST", "/", body=body if chunked else b"".join(body))
    assert (response.status, response.body) == (200, b"0123456789")
    if answer:
        assert upstream.requests == []
    else:
        assert upstream.received_once().body == b"0123456789"
        assert upstream.received_once().header("x-size") == "10"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_whole_body_past_its_limit_is_answered_with_413(
    proxy: Proxy, upstream: Upstream, chunked: bool
) -> None:
    proxy.location("/", plugins=[Whole])
    body = [b"01234", b"567890"]
    assert proxy.request("POST", "/", body=body if chunked else b"".join(body)).status == 413
    assert upstream.requests == []


def test_a_request_without_body_has_an_empty_whole_body(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/", plugins=[Whole])
    assert proxy.get("/").status == 200
    assert upstream.received_once().header("x-size") == "0"


def test_a_client_that_waits_to_be_asked_for_a_whole_body_is_asked(
    proxy: Proxy, upstream: Upstream
) -> None:
    proxy.location("/", plugins=[Whole])
    with proxy.connect() as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.send(b"ab")
        answer = client.answer()
    assert (answer.status, answer.body) == (200, b"ab")
    assert upstream.received_once().header("expect") is None


def test_only_plugins_say_what_plugins_should_say(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/named", plugins=[(User, {"name": "ann"})])
    proxy.location("/nobody", plugins=[User])
    proxy.location("/read", plugins=[User, Reader])
    proxy.location("/free")
    seen = {}
    for path in ("/named", "/nobody", "/read", "/free"):
        proxy.get(path, headers={"X-User": "root"})
        seen[path] = upstream.requests[-1].header("x-user")
    assert seen == {"/named": "ann", "/nobody": None, "/read": "root", "/free": "root"}


class Chosen(Plugin):
    """Says who it is, in a header that the operator chooses."""

    category = "chosen"

    class Settings(PluginSettings):
        header: str

    def __init__(self, settings: Settings) -> None:
        self.adds_headers = (settings.header,)

    @hookimpl
    def request(self) -> None:
        """Add nothing."""


def test_the_headers_that_a_plugin_adds_may_be_a_setting(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/", plugins=[(Chosen, {"header": "X-Whose"})])
    for name in ("X-Whose", "x_whose", "X-Other"):
        proxy.get("/", headers={name: "root"})
    names = [{one.lower() for one, _ in request.headers} for request in upstream.requests]
    assert names == [{"host"}, {"host"}, {"host", "x-other"}]


class Break(Plugin):
    """Sets a header that is two, without the checks of ``field``."""

    category = "break"

    @hookimpl
    def response(self, response: Response) -> None:
        response.headers.append((b"x-a", b"X-A: b\r\nTransfer-Encoding: chunked"))


class Framing(Plugin):
    """Sets everything that frames a message, wrongly."""

    category = "framing"

    @hookimpl
    def request(self, request: Request) -> None:
        self._spoil(request)

    @hookimpl
    def response(self, response: Response) -> None:
        self._spoil(response)

    def _spoil(self, message: Request | Response) -> None:
        for name, value in (
            ("Content-Length", "1"),
            ("Transfer-Encoding", "gzip, chunked"),
            ("Connection", "close"),
            ("Keep-Alive", "x"),
            ("TE", "gzip"),
            ("Upgrade", "x"),
        ):
            message.headers.set(name, value)


def test_a_prepared_field_with_a_line_break_fails_closed(proxy: Proxy) -> None:
    proxy.location("/", plugins=[Break])
    answer = proxy.get("/")
    proxy.expect_error("ValueError: header field with a line break")
    assert (answer.status, answer.headers.get("x-a")) == (500, None)


def test_no_header_that_a_plugin_sets_corrupts_the_framing(
    proxy: Proxy, upstream: Upstream
) -> None:
    proxy.location("/", plugins=[Framing])
    with proxy.connect() as client:
        for _ in range(2):
            answer = client.request("POST", "/", body=b"abc")
            assert (answer.status, answer.body) == (200, b"abc")
            assert answer.headers.get("content-length") == "3"
            assert answer.headers.get("transfer-encoding") is None
    for request in upstream.requests:
        assert request.body == b"abc"
        assert request.header("content-length") == "3"
        assert request.header("te") is None


# The time of plugins.


class Observe(Plugin):
    """Takes part in a sync phase, an async one, and a body."""

    category = "observe"
    body = "reads"

    @hookimpl
    def early_request(self) -> None: ...

    @hookimpl
    async def request(self) -> None:
        await anyio.lowlevel.checkpoint()

    @hookimpl
    def response_body(self) -> BodyFilter:
        return BodyFilter()


def timed_proxy(proxy: Proxy, **keys: Any) -> Proxy:
    proxy.location("/", plugins=[(Observe, {}), ("response_headers", {})], **keys)
    proxy.configure("servers.web", access_log="{uri} {:plugin.observe} {:plugin.nobody}")
    return proxy


def test_the_time_of_plugins_is_taken_where_that_is_switched_on(proxy: Proxy) -> None:
    timed_proxy(proxy, plugin_timing=True)
    answer = proxy.get("/a")
    assert "plugin.observe;dur=" in answer.headers["Server-Timing"]
    [line] = proxy.wait_for_access_log()
    _, observe, nobody = line.split()[-3:]
    assert float(observe) > 0
    assert nobody == "-"
    assert proxy.metrics().value("pingap_plugin_time_count", plugin="observe") == 1


def test_the_time_of_plugins_is_taken_if_a_trusted_client_asks(proxy: Proxy) -> None:
    timed_proxy(proxy)
    assert "Server-Timing" not in proxy.get("/").headers
    asking = {"X-Pingap-Plugin-Timing": "1"}
    assert "plugin.observe;dur=" in proxy.get("/", headers=asking).headers["Server-Timing"]


def test_a_client_that_is_not_trusted_cannot_ask_for_it(proxy: Proxy) -> None:
    timed_proxy(proxy).configure("basic", trusted_proxies=["192.0.2.0/24"])
    answer = proxy.get("/", headers={"X-Pingap-Plugin-Timing": "1"})
    assert "Server-Timing" not in answer.headers
    assert proxy.metrics().value("pingap_plugin_time_count", plugin="observe") == 0


# Whole bodies of responses.


class Shout(WholeBodyFilter):
    def change(self, body: bytes) -> bytes:
        return body.upper()


def test_a_whole_body_filter_changes_what_fits_and_lets_pass_what_does_not() -> None:
    assert filter_every_cut(lambda: Shout(8), b"abcdefgh") == b"ABCDEFGH"
    assert filter_every_cut(lambda: Shout(7), b"abcdefgh") == b"abcdefgh"
    assert filter_every_cut(lambda: Shout(7), b"") == b""
