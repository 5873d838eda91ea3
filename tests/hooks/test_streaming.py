"""Answers of plugins whose body is an async iterable."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.plugins import serving
from support.rig import Rig

SOURCE = '''
GATES = {}


class Stream(Plugin):
    """Sends chunks; some wait until ``/stream/?open`` was asked for."""

    category = "stream"

    @hookimpl
    def request(self, request):
        what = request.query
        if what == "open":
            GATES.pop("gate").set()
            return Response(200)
        if what == "wait":
            GATES["gate"] = anyio.Event()
        return Response(200, getattr(self, what)(), {"Content-Type": "text/x"})

    async def short(self):
        yield b"one"
        yield b""
        yield b"two"

    async def empty(self):
        return
        yield

    async def wait(self):
        gate = GATES["gate"]
        yield b"before"
        await gate.wait()
        yield b"after"

    async def large(self):
        for _ in range(64):
            yield b"x" * 65536

    async def boom(self):
        yield b"begin"
        raise RuntimeError("secret of the stream")

    async def text(self):
        yield b"begin"
        yield "text"

    async def forever(self):
        try:
            yield b"begin"
            await anyio.sleep_forever()
        finally:
            log.warning("stream ended")
'''


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    more = '[plugins.stream]\ncategory = "stream"'
    folder = tmp_path_factory.mktemp("hooks")
    with serving(folder, SOURCE, {"stream": "stream"}, more=more) as running:
        yield running


@pytest.mark.parametrize(("what", "body"), [("short", b"onetwo"), ("empty", b"")])
def test_hook_request_streams_in_chunks(rig: Rig, what: str, body: bytes) -> None:
    with rig.connect() as client:
        for _ in range(2):
            answer = client.get(f"/stream/?{what}")
            assert (answer.status, answer.body, answer.complete) == (200, body, True)
            assert answer.header("transfer-encoding") == "chunked"
            assert answer.header("content-type") == "text/x"


def test_hook_request_chunks_leave_as_they_come(rig: Rig) -> None:
    with rig.connect() as client, rig.connect() as other:
        client.send(b"GET /stream/?wait HTTP/1.1\r\nHost: test\r\n\r\n")
        assert client.read_until(b"6\r\nbefore\r\n").endswith(b"before\r\n")
        assert other.get("/stream/?open").status == 200
        assert client.read_until(b"0\r\n\r\n") == b"5\r\nafter\r\n0\r\n\r\n"


def test_hook_request_streams_more_than_buffers_hold(rig: Rig) -> None:
    with rig.connect() as client:
        assert client.get("/stream/?large").body == b"x" * 64 * 65536
        assert client.get("/stream/?short").body == b"onetwo"


def test_hook_request_stream_without_chunks_for_http_1_0_and_head(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(b"GET /stream/?short HTTP/1.0\r\n\r\n")
        answer = client.answer()
        assert (answer.body, answer.header("transfer-encoding")) == (b"onetwo", None)
    with rig.connect() as client:
        assert client.request("HEAD", "/stream/?short").status == 200
        assert client.get("/stream/?short").body == b"onetwo"


@pytest.mark.parametrize(
    "what",
    ["boom", pytest.param("text")],
)
def test_hook_request_stream_that_fails_is_cut(rig: Rig, what: str) -> None:
    with rig.connect() as client:
        answer = client.get(f"/stream/?{what}")
        assert (answer.status, answer.complete) == (200, False)
        assert answer.body == b"begin"
    with rig.connect() as client:
        assert client.get("/stream/?short").body == b"onetwo"
    error = {"boom": "RuntimeError: secret of the stream", "text": "TypeError"}[what]
    log = rig.proxy.wait_for_log(error)
    if what == "text":
        assert "plugin stream" in log


def test_hook_request_stream_that_fails_names_the_instance(rig: Rig) -> None:
    with rig.connect() as client:
        client.get("/stream/?boom")
    assert "plugin stream failed in" in rig.proxy.wait_for_log("secret of the stream")


def test_hook_request_stream_is_cancelled_when_the_client_leaves(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(b"GET /stream/?forever HTTP/1.1\r\nHost: test\r\n\r\n")
        client.read_until(b"begin\r\n")
        client.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):  # leaving is believed a while after the request
            client.sock.recv(1)
    rig.proxy.wait_for_log("stream ended")
