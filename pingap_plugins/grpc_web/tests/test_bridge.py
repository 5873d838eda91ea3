"""Calls of gRPC-Web through a proxy, to an upstream that answers gRPC with trailers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import pytest
from grpc_wire import message, text, trailers, untext
from pingap_grpc_web.bridge import GrpcWeb

from pingap.testing import (
    Answer,
    Proxy,
    Upstream,
    configuration_problems,
    make_context,
    make_request,
)

HELLO = message(b"\n\x05hello")
WORLD = message(b"\n\x07world \xff")
GRPC = {"Content-Type": "application/grpc"}
OK = {"grpc-status": "0", "grpc-message": ""}
END = trailers("grpc-status: 0", "grpc-message: ")


@pytest.fixture
def site(proxy: Proxy) -> Proxy:
    """A proxy whose only location has the key."""
    proxy.location("/", grpc_web=True)
    return proxy


def call(
    site: Proxy,
    body: bytes | Iterable[bytes] = HELLO,
    content_type: str = "application/grpc-web+proto",
    **headers: str,
) -> Answer:
    return site.request(
        "POST", "/library.Books/Find", headers={"Content-Type": content_type, **headers}, body=body
    )


def test_a_unary_call(site: Proxy, upstream: Upstream) -> None:
    upstream.reply("/library.Books/Find", WORLD, headers=GRPC, trailers=OK)
    answer = call(site)
    assert (answer.status, answer.body) == (200, WORLD + END)
    assert answer.header("content-type") == "application/grpc-web+proto"
    assert answer.header("content-length") is None
    assert answer.trailers is not None
    assert list(answer.trailers) == []
    received = upstream.received_once()
    assert received.header("content-type") == "application/grpc+proto"
    assert received.header("content-length") == str(len(HELLO))
    assert received.body == HELLO


def test_a_unary_call_in_text_mode(site: Proxy, upstream: Upstream) -> None:
    upstream.reply("/library.Books/Find", WORLD, headers=GRPC, trailers=OK)
    answer = call(site, text(HELLO[:7], HELLO[7:]), "application/grpc-web-text")
    assert answer.body == text(WORLD, END)
    assert answer.header("content-type") == "application/grpc-web-text"
    assert upstream.received_once().body == HELLO
    assert upstream.received_once().header("content-type") == "application/grpc"


def test_base64_of_a_request_is_decoded_wherever_it_is_cut(site: Proxy, upstream: Upstream) -> None:
    body = text(HELLO, WORLD)
    with site.connect() as client:
        for place in range(1, len(body)):
            answer = client.request(
                "POST",
                "/",
                headers={"Content-Type": "application/grpc-web-text+proto"},
                body=[body[:place], body[place:]],
            )
            assert answer.status == 200
    assert [one.body for one in upstream.requests] == [HELLO + WORLD] * (len(body) - 1)


def test_the_client_may_ask_for_an_answer_in_text(site: Proxy, upstream: Upstream) -> None:
    upstream.reply("/library.Books/Find", WORLD, headers=GRPC, trailers=OK)
    answer = call(site, Accept="application/grpc-web-text")
    assert answer.header("content-type") == "application/grpc-web-text+proto"
    assert answer.body == text(WORLD, END)
    assert upstream.received_once().body == HELLO


@pytest.mark.parametrize("as_text", [False, True])
def test_a_stream_passes_message_by_message(site: Proxy, upstream: Upstream, as_text: bool) -> None:
    read = [threading.Event(), threading.Event()]

    def messages() -> Iterable[bytes]:
        for number, event in enumerate(read):
            yield message(b"number %d" % number)
            assert event.wait(10)

    upstream.stream("/", messages, headers=GRPC)
    kind = "application/grpc-web-text" if as_text else "application/grpc-web"
    with site.connect() as client:
        body = text(HELLO) if as_text else HELLO
        client.send_request("POST", "/", headers={"Content-Type": kind}, body=body)
        client.read_head()
        for number, event in enumerate(read):
            some = client.read_some()
            assert (untext(some) if as_text else some) == message(b"number %d" % number)
            event.set()
        rest = client.read_rest()
        assert (untext(rest) if as_text else rest).startswith(b"\x80")


@pytest.mark.parametrize("framing", ["Content-Length: 0", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("as_text", [False, True])
def test_an_answer_of_trailers_only(
    site: Proxy, upstream: Upstream, framing: str, as_text: bool
) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n{framing}\r\n"
    status = "grpc-status: 5\r\ngrpc-message: no such book\r\nx-id: 7\r\n\r\n"
    end = "" if framing.endswith("0") else "0\r\n\r\n"
    upstream.raw("/library.Books/Find", (head + status + end).encode())
    answer = call(site, b"", "application/grpc-web-text" if as_text else "application/grpc-web")
    frame = trailers("grpc-status: 5", "grpc-message: no such book")
    assert answer.complete
    assert answer.body == (text(frame) if as_text else frame)
    assert answer.header("grpc-status") is None
    assert answer.header("x-id") == "7"


def test_trailers_of_all_kinds(site: Proxy, upstream: Upstream) -> None:
    fields = {"Grpc-Status": "3", "grpc-message": "caf%C3%A9", "X-Trace-Bin": "AAEC"}
    upstream.reply("/library.Books/Find", b"", headers=GRPC, trailers=fields)
    assert call(site).body == trailers(
        "grpc-status: 3", "grpc-message: caf%C3%A9", "x-trace-bin: AAEC"
    )


def test_an_upstream_without_status_is_an_unknown_error(site: Proxy, upstream: Upstream) -> None:
    upstream.reply("/library.Books/Find", WORLD, headers=GRPC)
    answer = call(site)
    assert answer.body.startswith(WORLD + b"\x80")
    assert b"grpc-status: 2\r\n" in answer.body


def test_an_answer_that_is_cut_stays_cut(site: Proxy, upstream: Upstream) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    upstream.raw("/library.Books/Find", head + b"5\r\nhello\r\n")
    answer = call(site)
    assert not answer.complete
    assert b"grpc-status" not in answer.body


@pytest.mark.parametrize(
    "kind", ["application/grpc", "application/grpc-webby", "text/plain", "application/json"]
)
def test_another_content_type_passes_untouched(site: Proxy, upstream: Upstream, kind: str) -> None:
    upstream.reply("/library.Books/Find", WORLD, headers=GRPC, trailers=OK)
    answer = call(site, b"AAAA", kind)
    assert (answer.body, answer.header("content-type")) == (WORLD, "application/grpc")
    assert answer.trailers is not None
    assert answer.trailers.get("grpc-status") == "0"
    received = upstream.received_once()
    assert (received.body, received.header("content-type")) == (b"AAAA", kind)


def test_a_request_without_content_type_passes_untouched(site: Proxy, upstream: Upstream) -> None:
    upstream.reply("/page", b"<p>", headers={"Content-Type": "text/html"})
    answer = site.get("/page")
    assert (answer.body, answer.header("content-length")) == (b"<p>", "3")


def test_an_answer_that_is_not_grpc_passes_untouched(site: Proxy, upstream: Upstream) -> None:
    upstream.reply("/library.Books/Find", b"no", 404, headers={"Content-Type": "text/plain"})
    answer = call(site)
    assert (answer.status, answer.body) == (404, b"no")
    assert answer.header("content-type") == "text/plain"


def test_the_key_can_be_off(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/on", grpc_web=True)
    proxy.location("/off", grpc_web=False)
    for path in ("/on", "/off"):
        proxy.request("POST", path, headers={"Content-Type": "application/grpc-web"}, body=HELLO)
    kinds = [one.header("content-type") for one in upstream.requests]
    assert kinds == ["application/grpc", "application/grpc-web"]


def test_base64_that_is_wrong_is_refused(site: Proxy, upstream: Upstream) -> None:
    answer = call(site, b"this is not base64", "application/grpc-web-text")
    assert (answer.status, answer.header("content-type")) == (200, "application/grpc-web-text")
    message = "grpc-message: The body of this gRPC-Web request is not base64"
    assert answer.body == text(trailers("grpc-status: 13", message))


@pytest.mark.parametrize("as_text", [False, True])
def test_an_error_of_the_proxy_is_a_status_of_grpc(
    site: Proxy, upstream: Upstream, as_text: bool
) -> None:
    upstream.raw("/library.Books/Find", b"", then="close")
    kind = "application/grpc-web-text+proto" if as_text else "application/grpc-web+proto"
    answer = call(site, text(HELLO), kind)
    frame = trailers("grpc-status: 14", "grpc-message: The upstream server could not answer")
    assert (answer.status, answer.header("content-type")) == (200, kind)
    assert answer.body == (text(frame) if as_text else frame)
    assert answer.header("content-length") == str(len(answer.body))


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (401, 16, "Unauthorized"),
        (403, 7, "Forbidden"),
        (404, 12, "Not Found"),
        (429, 14, "Too Many Requests"),
        (503, 14, "Service Unavailable"),
        (418, 2, "I'm a Teapot"),
        (599, 2, "HTTP status 599"),
    ],
)
def test_a_refusal_of_a_plugin_is_a_status_of_grpc(
    proxy: Proxy, status: int, code: int, reason: str
) -> None:
    refusal = {"status": status, "data": "<p>no", "headers": ["X-Why: tea"]}
    proxy.location("/", plugins=[("mock", refusal)], grpc_web=True)
    answer = call(proxy)
    assert answer.body == trailers(f"grpc-status: {code}", f"grpc-message: {reason}")
    assert (answer.status, answer.header("x-why")) == (200, "tea")
    assert proxy.get("/").status == status


def test_another_answer_of_a_plugin_passes_untouched(proxy: Proxy) -> None:
    moved = {"status": 308, "headers": ["Location: https://b.example/", "grpc-status: 0"]}
    proxy.location("/", plugins=[("mock", moved)], grpc_web=True)
    answer = call(proxy)
    assert (answer.status, answer.body, answer.header("grpc-status")) == (308, b"", "0")


def test_preflights_and_headers_of_cors_are_left_to_others(site: Proxy, upstream: Upstream) -> None:
    upstream.on("/library.Books/Find", lambda served, request: served.respond(b"", 204))
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    answer = site.request("OPTIONS", "/library.Books/Find", headers=asked)
    assert answer.status == 204
    assert upstream.received_once().method == "OPTIONS"
    upstream.reply("/library.Books/Find", WORLD, headers=GRPC, trailers=OK)
    answer = call(site, Origin="https://a.example")
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]


# Plugins of the same location.


def test_plugins_see_grpc_and_their_grpc_answers_are_converted(proxy: Proxy) -> None:
    refusal = {
        "headers": ["Content-Type: application/grpc", "grpc-status: 16", "grpc-message: who?"],
        "data": "",
    }
    proxy.location("/", plugins=[("mock", refusal)], grpc_web=True)
    frame = trailers("grpc-status: 16", "grpc-message: who?")
    answer = call(proxy)
    assert (answer.status, answer.body) == (200, frame)
    assert answer.header("content-length") == str(len(frame))
    assert call(proxy, b"", "application/grpc-web-text").body == text(frame)


def test_the_headers_of_the_request_for_the_upstream() -> None:
    request = make_request("POST", "/", headers={"Content-Type": "application/grpc-web-text"})
    GrpcWeb(GrpcWeb.Settings(grpc_web=True)).early_request(request, make_context())
    assert request.headers.get_all("te") == ["trailers"]
    assert request.headers.get_all("content-type") == ["application/grpc"]


# Configuration.

TOML = """
[upstreams.library]
addrs = ["{addr}"]
[locations.library]
upstream = "library"
grpc_web = true
[servers.web]
addr = "127.0.0.1:0"
locations = ["library"]
{modules}
"""


@pytest.mark.parametrize("modules", ['modules = ["grpc-web"]', "modules = []", ""])
def test_the_module_of_the_server_may_be_named(
    upstream: Upstream, start_proxy: Callable[[str], Proxy], modules: str
) -> None:
    upstream.reply("/library.Books/Find", WORLD, headers=GRPC, trailers=OK)
    site = start_proxy(TOML.format(addr=upstream.addr, modules=modules))
    assert call(site).body == WORLD + END


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        (
            'modules = ["grpc-web"]',
            'modules = ["grpc_web"]',
            '10: servers.web.modules[0]: found "grpc_web", expected "grpc-web"; did you mean'
            ' "grpc-web"?',
        ),
        (
            "grpc_web = true",
            'grpc_web = "yes"',
            '6: locations.library.grpc_web: found "yes" (string), expected true or false',
        ),
    ],
)
def test_mistakes_are_told(right: str, wrong: str, told: str) -> None:
    toml = TOML.format(addr="127.0.0.1:9", modules='modules = ["grpc-web"]')
    assert configuration_problems(toml.replace(right, wrong)) == [f"pingap.toml:{told}"]
