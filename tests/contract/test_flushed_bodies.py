"""Events through compression: each arrives when it was sent, whatever the body comes from and goes to."""

from __future__ import annotations

import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from pingap import (
    AsyncBodyFilter,
    BodyFilter,
    Headers,
    Plugin,
    PluginSettings,
    Request,
    Response,
    ThreadedBodyFilter,
    hookimpl,
)
from pingap.testing import Client, Http2Client, Proxy, Received, Served, Upstream


class Deflate(BodyFilter):
    """Compresses; what it keeps for a better ratio goes out when it is flushed."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self.compressor = zlib.compressobj()
        self.tell = tell

    def feed(self, chunk: bytes) -> bytes:
        return self.compressor.compress(chunk)

    def flush(self) -> bytes:
        self.tell()
        return self.compressor.flush(zlib.Z_SYNC_FLUSH)

    def end(self, trailers: Headers) -> bytes:
        return self.compressor.flush()


class AsyncDeflate(AsyncBodyFilter):
    def __init__(self, tell: Callable[[], None]) -> None:
        self.inner = Deflate(tell)

    async def feed(self, chunk: bytes) -> bytes:
        await anyio.lowlevel.checkpoint()
        return self.inner.feed(chunk)

    async def flush(self) -> bytes:
        await anyio.sleep(0.001)
        return self.inner.flush()

    async def end(self, trailers: Headers) -> bytes:
        return self.inner.end(trailers)


PATHS = ("/events", "/upstream", "/large")
MAKE: dict[str, Callable[[Callable[[], None]], Any]] = {
    "sync": Deflate,
    "async": AsyncDeflate,
    "threads": lambda tell: ThreadedBodyFilter(Deflate(tell)),
}


class Compress(Plugin):
    """Compresses both bodies; sends events itself, if asked for them."""

    category = "compress"
    body = "rewrites"

    class Settings(PluginSettings):
        how: str

    def __init__(self, settings: Any) -> None:
        self.make = MAKE[settings.how]
        self.go_on = [anyio.Event() for _ in range(3)]
        self.flushes = 0

    @hookimpl
    async def request(self, request: Request) -> Response | None:
        if request.path == "/open":
            self.go_on[int(request.query)].set()
            return Response(200)
        return Response(200, self.events()) if request.path == "/events" else None

    async def events(self) -> AsyncIterator[bytes]:
        for number, event in enumerate(self.go_on):
            for part in (b"event ", b"%d;" % number):
                yield part
            await event.wait()

    @hookimpl
    def response_body(self, request: Request) -> BodyFilter | AsyncBodyFilter | None:
        return self.make(self.count) if request.path in PATHS else None

    @hookimpl
    def request_body(self) -> BodyFilter | AsyncBodyFilter | None:
        return self.make(self.count)

    def count(self) -> None:
        self.flushes += 1


class Reader:
    """Reads a compressed response over either protocol, as far as it came."""

    def __init__(self, proxy: Proxy, target: str, *, http2: bool) -> None:
        self.client: Any = proxy.connect_http2() if http2 else proxy.connect()
        self.decompressor = zlib.decompressobj()
        self.text = b""
        self.stream = self.client.send_request("GET", target)
        if not http2:
            self.client.read_head()

    def until(self, text: bytes) -> None:
        """Return when the body, decompressed, is this."""
        while self.text != text:
            assert text.startswith(self.text)
            self.text += self.decompressor.decompress(self._more())

    def _more(self) -> bytes:
        if isinstance(self.client, Client):
            data = self.client.read_some()
            assert data, "the body ended"
            return data
        assert isinstance(self.client, Http2Client)
        while not (answer := self.client._answers.get(self.stream)) or not answer.body:
            assert self.client._alive
            self.client._read()
        data, answer.body = answer.body, b""
        return data


@pytest.fixture(params=MAKE)
def plugin(request: pytest.FixtureRequest) -> Compress:
    return Compress(Compress.Settings(how=request.param))


@pytest.fixture
def compressed(proxy: Proxy, plugin: Compress) -> Proxy:
    proxy.location("/", plugins=[plugin])
    proxy.configure("servers.web", enabled_h2=True)
    return proxy


@pytest.mark.parametrize("http2", [False, True])
def test_events_of_an_upstream_arrive_when_they_are_sent(
    compressed: Proxy, upstream: Upstream, http2: bool
) -> None:
    go_on = [threading.Event() for _ in range(3)]

    def events(served: Served, request: Received) -> None:
        served.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number, event in enumerate(go_on):
            served.send(b"6\r\nevent \r\n")
            served.send(b"2\r\n%d;\r\n" % number)
            served.wait(event)
        served.send(b"0\r\n\r\n")

    upstream.on("/upstream", events)
    reader = Reader(compressed, "/upstream", http2=http2)
    for number, event in enumerate(go_on):
        reader.until(b"".join(b"event %d;" % one for one in range(number + 1)))
        event.set()


@pytest.mark.parametrize("http2", [False, True])
def test_events_of_a_plugin_arrive_when_they_are_produced(
    compressed: Proxy, plugin: Compress, http2: bool
) -> None:
    reader = Reader(compressed, "/events", http2=http2)
    for number in range(3):
        reader.until(b"".join(b"event %d;" % one for one in range(number + 1)))
        compressed.get(f"/open?{number}")
    assert plugin.flushes == 3  # (what comes at once is flushed once)


@pytest.mark.parametrize("http2", [False, True])
def test_events_of_a_client_reach_the_upstream_when_they_are_sent(
    compressed: Proxy, upstream: Upstream, http2: bool
) -> None:
    seen: list[bytes] = []
    expected = b""
    changed = threading.Condition()

    def read(served: Served) -> None:
        request = served.read_head()
        assert request is not None
        decompressor = zlib.decompressobj()
        while not decompressor.eof:
            size = int(served.read_until(b"\r\n"), 16)
            data = decompressor.decompress(served.read_exactly(size + 2)[:-2])
            with changed:
                seen.append(data)
                changed.notify_all()
        served.read_until(b"0\r\n\r\n")
        served.respond(b"done")

    upstream.script = read

    def arrived() -> bool:
        return b"".join(seen) == expected

    def events() -> Iterator[bytes]:
        nonlocal expected
        for number in range(3):
            expected += b"event %d;" % number
            yield b"event %d;" % number
            with changed:
                assert changed.wait_for(arrived, 10)

    client: Any = compressed.connect_http2() if http2 else compressed.connect()
    assert client.request("POST", "/", body=events()).body == b"done"


def test_a_body_that_never_pauses_is_not_flushed(
    compressed: Proxy, upstream: Upstream, plugin: Compress
) -> None:
    body = b"".join(b"%d," % number for number in range(200_000))
    upstream.reply("/large", body)
    answer = compressed.get("/large")
    assert zlib.decompress(answer.body) == body
    assert plugin.flushes < 3


@pytest.mark.parametrize("how", MAKE)
def test_filters_whose_time_is_taken_are_flushed_too(
    proxy: Proxy, upstream: Upstream, how: str
) -> None:
    proxy.location("/", plugins=[(Compress, {"how": how})], plugin_timing=True)
    go_on = threading.Event()

    def events(served: Served, request: Received) -> None:
        served.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        served.wait(go_on)
        served.send(b"0\r\n\r\n")

    upstream.on("/upstream", events)
    reader = Reader(proxy, "/upstream", http2=False)
    reader.until(b"a")
    go_on.set()
    assert reader.client.read_rest()
