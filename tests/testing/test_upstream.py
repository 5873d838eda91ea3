"""``Upstream`` and ``Client``, with no proxy between them."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest

from pingap.testing import Client, Received, ScriptError, Served, Upstream, websocket


@pytest.fixture
def client(upstream: Upstream) -> Client:
    return Client(("127.0.0.1", upstream.port))


@pytest.fixture(autouse=True)
def _closed(client: Client):  # type: ignore[no-untyped-def]
    yield
    client.close()


def test_without_an_answer_it_echoes(client: Client, upstream: Upstream) -> None:
    assert client.get("/").body == b"ok"
    answer = client.request("POST", "/x?y=1", headers={"X-A": "b"}, body=b"data")
    assert (answer.status, answer.body, answer.complete) == (200, b"data", True)
    first, second = upstream.requests
    assert str(first) == "GET /"
    assert (second.path, second.query, second.body) == ("/x", "y=1", b"data")
    assert second.header("x-a") == second.headers["X-A"] == "b"
    assert second.complete
    assert first.connection == second.connection == 1


def test_a_chunked_request_with_trailers(client: Client, upstream: Upstream) -> None:
    pieces = iter([b"one", b"two"])
    assert client.request("PUT", "/", body=pieces, trailers={"X-Sum": "6"}).body == b"onetwo"
    request = upstream.received_once()
    assert request.trailers == [("X-Sum", "6")]
    assert request.header("transfer-encoding") == "chunked"


def test_an_answer_by_path(client: Client, upstream: Upstream) -> None:
    upstream.reply("/tea", "short", 418, headers=[("X-A", "1"), ("x-a", "2")])
    upstream.default = lambda served, request: served.respond(b"none", 404)
    tea = client.get("/tea?sugar")
    assert (tea.status, tea.reason, tea.text) == (418, "I'm a Teapot", "short")
    assert tea.header_all("X-A") == ["1", "2"]
    assert "x-b" not in tea.headers
    assert client.get("/other").status == 404
    with pytest.raises(KeyError, match=r"no field 'X-B', only: Content-Length, X-A, x-a"):
        tea.headers["X-B"]


def test_chunks_trailers_and_interim_responses(client: Client, upstream: Upstream) -> None:
    hints = [(103, {"Link": "</a>"}), (103, {"Link": "</b>"})]
    upstream.reply("/", [b"a", b"b"], trailers={"X-T": "t"}, interim=hints)
    answer = client.get("/")
    assert [one.header("link") for one in answer.interim] == ["</a>", "</b>"]
    assert (answer.body, answer.trailers) == (b"ab", [("X-T", "t")])


def test_answers_without_body(client: Client, upstream: Upstream) -> None:
    upstream.reply("/none", b"", 204)
    head = client.request("HEAD", "/")
    assert (head.header("content-length"), head.body) == ("2", b"")
    assert client.get("/none").header("content-length") is None
    assert client.get("/").body == b"ok"


def test_an_answer_that_waits_for_the_test(client: Client, upstream: Upstream) -> None:
    go = threading.Event()
    upstream.reply("/", b"late", until=go)
    client.send_request("GET", "/")
    upstream.wait_for_request()
    client.sock.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.read_until(b"\r\n")
    go.set()
    client.sock.settimeout(10)
    assert client.answer().body == b"late"


def test_a_delay_ends_with_the_upstream(client: Client) -> None:
    with Upstream() as slow:
        slow.reply("/", delay=3600)
        with Client(("127.0.0.1", slow.port)) as other:
            other.send_request("GET", "/")
            slow.wait_for_request(complete=True)


def test_a_body_without_end(client: Client, upstream: Upstream) -> None:
    upstream.stream("/", itertools.repeat(b"x" * 1000))
    client.send_request("GET", "/")
    assert client.read_head().header("transfer-encoding") == "chunked"
    assert [len(client.read_some()) for _ in range(100)] == [1000] * 100


def test_a_body_that_comes_slowly(client: Client, upstream: Upstream) -> None:
    steps = threading.Semaphore(0)

    def events():  # type: ignore[no-untyped-def]
        for number in range(3):
            assert steps.acquire(timeout=10)
            yield b"%d" % number

    upstream.stream("/", events, headers={"Content-Type": "text/event-stream"})
    for _ in range(2):  # the function is called for each request
        client.send_request("GET", "/")
        client.read_head()
        for number in range(3):
            steps.release()
            assert client.read_some() == b"%d" % number
        assert client.read_rest() == b""


@pytest.mark.parametrize("wire", [b"", b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\nContent-Le"])
@pytest.mark.parametrize("then", ["close", "reset"])
def test_a_head_that_is_cut(client: Client, upstream: Upstream, wire: bytes, then: str) -> None:
    upstream.raw("/", wire, then=then)  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="ended without an answer"):
        client.get("/")


@pytest.mark.parametrize("then", ["close", "reset"])
def test_a_body_that_is_cut(client: Client, upstream: Upstream, then: str) -> None:
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
    upstream.raw("/", wire, b"half", then=then, pause=0.01)  # type: ignore[arg-type]
    answer = client.get("/")
    assert (answer.body, answer.complete) == (b"half", False)


@pytest.mark.parametrize(
    "wire", [b"5\r\nhal", b"5\r\nwhole\r\n", b"5\r\nwhole\r\n0\r\n", b"5\r\nwhole\r\n0\r\nX: y\r\n"]
)
def test_a_chunked_body_that_is_cut(client: Client, upstream: Upstream, wire: bytes) -> None:
    upstream.raw("/", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + wire)
    assert not client.get("/").complete


def test_a_body_to_the_end_of_the_connection(client: Client, upstream: Upstream) -> None:
    upstream.raw("/", b"HTTP/1.0 200 OK\r\n\r\nall ", b"of it")
    answer = client.get("/")
    assert (answer.body, answer.complete) == (b"all of it", True)
    assert client.is_closed()


def test_a_raw_answer_may_keep_the_connection(client: Client, upstream: Upstream) -> None:
    upstream.raw("/", b"HTTP/1.1 204 Fine\r\n\r\n", then="keep")
    assert [client.get("/").reason for _ in range(2)] == ["Fine", "Fine"]
    assert upstream.connections == 1


def test_a_handler_of_the_test(client: Client, upstream: Upstream) -> None:
    def handle(served: Served, request: Received) -> None:
        assert request.body == b"in"
        served.respond(b"out", "299 Own", headers={"X-N": str(served.number)})

    upstream.on("/", handle)
    answer = client.request("POST", "/", body=b"in")
    assert (answer.status, answer.reason, answer.header("x-n")) == (299, "Own", "1")


def test_a_script_serves_whole_connections() -> None:
    def script(served: Served) -> None:
        assert served.read_head() is not None
        assert served.read_exactly(3) == b"abc"
        served.respond(b"early")

    with Upstream(script) as upstream, Client(("127.0.0.1", upstream.port)) as client:
        client.send(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc")
        assert client.answer().body == b"early"
        assert client.is_closed()
        assert not upstream.received_once().complete


def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with Upstream(path=path) as upstream, Client(path) as client:
        assert upstream.addr == f"unix:{path}"
        assert client.get("/").body == b"ok"


def test_an_error_in_a_script_is_raised(client: Client, upstream: Upstream) -> None:
    def handle(served: Served, request: Received) -> None:
        raise ZeroDivisionError

    with Upstream() as other:
        other.on("/", handle)
        with Client(("127.0.0.1", other.port)) as its:
            its.send_request("GET", "/")
            assert its.is_closed()
        with pytest.raises(ScriptError, match="ZeroDivisionError"):
            other.check()
        other.expect_error(ZeroDivisionError)
        other.check()


def test_what_was_received_is_told(client: Client, upstream: Upstream) -> None:
    with pytest.raises(AssertionError, match="received nothing; expected one request"):
        upstream.received_once()
    client.get("/a")
    client.get("/b")
    with pytest.raises(AssertionError, match="received GET /a, GET /b; expected one"):
        upstream.received_once()
    assert upstream.wait_for_request(2).path == "/b"


def test_a_request_that_does_not_come(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pingap.testing.upstream.LIMIT", 0.01)
    with pytest.raises(
        AssertionError, match="request 1 did not come; the upstream received nothing"
    ):
        upstream.wait_for_request()
    with pytest.raises(AssertionError, match="no script raised ValueError"):
        upstream.expect_error(ValueError)


# WebSocket: RFC 6455 has the bytes of the examples.

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def test_a_websocket_echoes(client: Client, upstream: Upstream) -> None:
    upstream.websocket("/ws")
    client.send_request("GET", "/ws", headers=UPGRADE)
    head = client.read_head()
    assert (head.status, head.header("upgrade")) == (101, "websocket")
    assert head.header("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    client.send(bytes.fromhex("818537fa213d7f9f4d5158"))  # "Hello", masked
    assert client.read_exactly(7) == b"\x81\x05Hello"
    client.send(bytes.fromhex("898537fa213d7f9f4d5158"))  # a ping
    assert client.read_exactly(7) == b"\x8a\x05Hello"
    client.send(bytes.fromhex("88820000000003e8"))
    assert client.read_exactly(4) == b"\x88\x02\x03\xe8"
    assert client.is_closed()


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 100_000])
def test_frames_of_every_size(client: Client, upstream: Upstream, size: int) -> None:
    upstream.websocket("/ws")
    client.send_request("GET", "/ws", headers=UPGRADE)
    client.read_head()
    frame = websocket.Frame(websocket.BINARY, bytes(range(256)) * 400)
    frame = websocket.Frame(frame.opcode, frame.payload[:size], final=size != 125)
    client.send(websocket.write_frame(frame, mask=b"\1\2\3\4"))
    assert websocket.read_frame(client) == frame


def test_a_websocket_needs_an_upgrade(client: Client, upstream: Upstream) -> None:
    upstream.websocket("/ws")
    assert client.get("/ws").status == 400
