"""HTTP, as a raw application sees it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import asgi_raw
import pytest

from pingap.testing import Answer, Proxy

Serve = Callable[..., Proxy]
START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"x"}


def scope_of(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = eval(answer.text)
    return found


def scripted(*messages: object) -> str:
    return "/?" + quote(repr(messages), safe="")


def test_the_scope(serve: Serve) -> None:
    proxy = serve("asgi_raw:scope")
    with proxy.connect() as client:
        answer = client.get("/caf%C3%A9/a%20b?x=%20&y", headers={"Host": "shop.test", "X-A": "b"})
        scope = scope_of(answer)
        port = scope.pop("client")[1]
        assert port > 0
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/café/a b",
        "raw_path": b"/caf%C3%A9/a%20b",
        "query_string": b"x=%20&y",
        "root_path": "",
        "headers": {b"host": b"shop.test", b"x-a": b"b"},
        "server": ("127.0.0.1", proxy.port()),
        "state": {},
        "extensions": {
            "pingap": {"user": "", "request_id": "", "location": "root"},
            "http.response.trailers": {},
            "http.response.early_hint": {},
        },
    }


def test_behind_a_trusted_proxy(serve: Serve) -> None:
    proxy = serve("asgi_raw:scope")
    answer = proxy.get("/", client_ip="192.0.2.7", headers={"X-Forwarded-Proto": "https"})
    scope = scope_of(answer)
    assert (scope["client"], scope["scheme"]) == (("192.0.2.7", 0), "https")


def test_http2(serve: Serve) -> None:
    proxy = serve("asgi_raw:scope")
    proxy.configure("servers.web", enabled_h2=True)
    with proxy.connect_http2() as client:
        assert scope_of(client.get("/a"))["http_version"] == "2"


def test_old_clients(serve: Serve) -> None:
    with serve("asgi_raw:scope").connect() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert scope_of(client.answer())["http_version"] == "1.0"


@pytest.mark.parametrize(
    ("target", "path", "raw_path"),
    [
        ("/api/a%20b", "/api/a b", b"/api/a%20b"),
        ("/api", "/api", b"/api"),
        ("/apis", "/api/apis", b"/api/apis"),
        ("/", "/api/", b"/api/"),
    ],
)
def test_the_root_path_is_part_of_the_path(
    serve: Serve, target: str, path: str, raw_path: bytes
) -> None:
    scope = scope_of(serve("asgi_raw:scope", asgi_root_path="/api").get(target))
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/api", path, raw_path)


def test_a_path_that_guards_read_otherwise_is_refused(serve: Serve) -> None:
    """As before an upstream: what the application decodes is what the location matched."""
    assert serve("asgi_raw:scope").get("/a/..%2fadmin").status == 400


@pytest.mark.parametrize("body", [b"", b"x", bytes(300_000), [b"a", b"b" * 70_000, b"c"]])
def test_bodies(serve: Serve, body: Any) -> None:
    answer = serve("asgi_raw:echo").request("POST", "/", body=body)
    assert answer.complete
    assert answer.body == (body if isinstance(body, bytes) else b"".join(body))


def test_both_ways_at_once(serve: Serve) -> None:
    with serve("asgi_raw:echo").connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\none")
        assert client.read_head().status == 200
        assert client.read_some() == b"one"
        client.send(b"two")
        assert client.read_rest() == b"two"


def test_an_expectation_is_met_when_the_application_reads(serve: Serve) -> None:
    with serve("asgi_raw:length").connect() as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        assert asgi_raw.went.wait(20)
        asgi_raw.go.set()
        assert client.read_interim().status == 100
        client.send(b"abc")
        assert client.answer().body == b"3"


def test_a_client_waits_for_an_application_that_reads_slowly(serve: Serve) -> None:
    size = 40_000_000
    with socket.create_connection(("127.0.0.1", serve("asgi_raw:length").start().port())) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        assert asgi_raw.went.wait(20)
        piece = bytes(100_000)
        sent = asgi_raw.fill(sock, piece, size)
        assert sent < 20_000_000  # what the buffers of the system hold
        sock.settimeout(20)
        asgi_raw.go.set()
        while sent < size:
            sent += sock.send(piece[: size - sent])
        answer = b""
        while not answer.endswith(b"%d" % size):
            answer += sock.recv(1000)


def test_an_application_waits_for_a_client_that_reads_slowly(serve: Serve) -> None:
    with serve("asgi_raw:endless").connect() as client:
        client.send_request("GET", "/")
        client.read_head()
        asgi_raw.went.wait(20)
        before = -1
        while before != asgi_raw.seen[0]:
            before = asgi_raw.seen[0]
            asgi_raw.go.wait(0.3)
        assert before < 20_000_000
    assert asgi_raw.go.wait(20)  # and is told when it has gone
    assert isinstance(asgi_raw.seen[1], OSError)


def test_a_disconnect_is_told(serve: Serve) -> None:
    with serve("asgi_raw:wait_for_end").connect() as client:
        client.send_request("GET", "/")
        assert asgi_raw.went.wait(20)
    assert asgi_raw.go.wait(20)
    request = {"type": "http.request", "body": b"", "more_body": False}
    assert asgi_raw.seen == [request, {"type": "http.disconnect"}, {"type": "http.disconnect"}]


def test_work_after_the_answer(serve: Serve) -> None:
    proxy = serve("asgi_raw:after_answer")
    with proxy.connect() as client:
        assert client.get("/").body == b"ok"
        assert asgi_raw.went.wait(20)
        assert asgi_raw.seen == [{"type": "http.disconnect"}]  # the response is complete
        asgi_raw.go.set()
        assert client.get("/").body == b"ok"  # on the same connection, meanwhile
    proxy.stop()
    assert asgi_raw.seen.count("done") == 2  # a stop waits for it


def test_requests_share_no_context_variables(serve: Serve) -> None:
    with serve("asgi_raw:context").connect() as client:
        client.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n")
        assert [client.answer().body, client.answer().body] == [b"unset", b"unset"]
        assert client.get("/c").body == b"unset"


# Responses.


def test_a_head_request(serve: Serve) -> None:
    headers = [(b"content-length", b"1")]
    with serve("asgi_raw:scripted").connect() as client:
        target = scripted({**START, "headers": headers}, BODY)
        answer = client.request("HEAD", target)
        assert (answer.header("content-length"), answer.body) == ("1", b"")
        answer = client.request("HEAD", scripted(START, BODY))
        assert (answer.header("content-length"), answer.body) == ("1", b"")
        assert client.get(target).body == b"x"


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body(serve: Serve, status: int) -> None:
    with serve("asgi_raw:scripted").connect() as client:
        answer = client.get(scripted({**START, "status": status}, {**BODY, "body": b""}))
        assert (answer.status, answer.body) == (status, b"")
        assert client.get(scripted(START, BODY)).body == b"x"


def test_headers_and_framing(serve: Serve) -> None:
    headers = [(b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"transfer-encoding", b"chunked")]
    answer = serve("asgi_raw:scripted").get(scripted({**START, "headers": headers}, BODY))
    assert answer.header_all("set-cookie") == ["a=1", "b=2"]
    assert answer.header_all("transfer-encoding") == []
    assert answer.header("content-length") == "1"


def test_trailers_and_hints(serve: Serve) -> None:
    hint = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]}
    trailers = {"type": "http.response.trailers", "headers": [(b"x-sum", b"7")]}
    more = {**BODY, "more_body": True}
    target = scripted(hint, {**START, "trailers": True}, more, BODY, trailers)
    answer = serve("asgi_raw:scripted").get(target)
    assert [one.header("link") for one in answer.interim] == ["</a.css>; rel=preload"]
    assert answer.body == b"xx"
    assert answer.trailers.get("x-sum") == "7"


def test_bytes_of_any_kind(serve: Serve) -> None:
    body = {**BODY, "body": bytearray(b"array")}
    assert serve("asgi_raw:scripted").get(scripted(START, body)).body == b"array"


# Failures.


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (("raise",), "no such shelf"),
        ((START, "raise"), "no such shelf"),
        ((), "returned without a complete response"),
        ((START,), "returned without a complete response"),
        ((BODY,), "expected was http.response.start"),
        ((START, START), "expected was http.response.body"),
        (({"type": "http.response.push"},), "the application sent http.response.push"),
        (({**START, "status": 99}, BODY), "99 is not the status"),
        (({**START, "headers": [(b"a b", b"c")]}, BODY), "is not a header name"),
        (({**START, "headers": [(b"a", b"b\r\nc: d")]}, BODY), "line break"),
        (({**START, "headers": [(b"content-length", b"9")]}, BODY), "content-length is 9"),
        ((START, {**BODY, "body": "text"}), "a body is bytes, not str"),
    ],
)
def test_a_failure_is_a_502_whose_reason_is_in_the_log(
    serve: Serve, messages: Any, reason: str
) -> None:
    proxy = serve("asgi_raw:scripted")
    answer = proxy.get(scripted(*messages))
    assert answer.status == 502
    assert "shelf" not in answer.text
    assert "asgi_raw" not in answer.text
    text = proxy.expect_error("asgi_raw:scripted failed, location root")
    assert reason in text
    assert "Traceback" in text or "RuntimeError" in text
    assert proxy.metrics().value("pingap_plugin_failures", plugin="asgi_raw:scripted") == 1


MORE = {**BODY, "more_body": True}
COUNTED = {**START, "headers": [(b"content-length", b"9")]}


@pytest.mark.parametrize(
    "messages",
    [
        (START, MORE, "wait", "raise"),
        (START, MORE, "wait"),
        (COUNTED, MORE, "wait", BODY),
        (COUNTED, MORE, "wait", {**MORE, "body": bytes(9)}),
    ],
)
def test_a_response_that_breaks_off_never_looks_complete(serve: Serve, messages: Any) -> None:
    proxy = serve("asgi_raw:scripted")
    with proxy.connect() as client:
        client.send_request("GET", scripted(*messages))
        assert client.read_head().status == 200
        assert client.read_some() == b"x"
        asgi_raw.go.set()
        assert len(client.read_rest()) < 8
        assert client.is_closed()
    proxy.expect_error("asgi_raw:scripted failed")


def test_an_error_after_the_answer_is_logged(serve: Serve) -> None:
    proxy = serve("asgi_raw:scripted")
    assert proxy.get(scripted(START, BODY, "raise")).body == b"x"
    proxy.wait_for_log("no such shelf")
    proxy.expect_error("no such shelf")


def test_too_many_messages(serve: Serve) -> None:
    proxy = serve("asgi_raw:scripted")
    assert proxy.get(scripted(START, BODY, BODY)).body == b"x"
    proxy.wait_for_log("the response is complete")
    proxy.expect_error("the response is complete")
