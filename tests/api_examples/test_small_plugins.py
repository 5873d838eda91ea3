"""The small plugins in a proxy."""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

from api_examples.small_plugins import (
    Compressor,
    ErrorPages,
    Events,
    Files,
    Leader,
    Observer,
    Tracer,
)
from support.waiting import until

from pingap import PluginSettings
from pingap.testing import Proxy, Upstream

GZIP = {"Accept-Encoding": "gzip"}


def test_a_compressor_sends_what_there_is_when_the_upstream_pauses(
    proxy: Proxy, upstream: Upstream
) -> None:
    go_on = threading.Event()

    def chunks() -> Iterator[bytes]:
        yield b"first "
        go_on.wait(10)
        yield b"second"

    upstream.stream("/a", chunks)
    proxy.location("/", plugins=[Compressor])
    client = proxy.connect()
    client.send_request("GET", "/a", headers=GZIP)
    assert client.read_head().header("Content-Encoding") == "gzip"
    unpacked = zlib.decompressobj(wbits=31)
    text = b""
    while text != b"first ":
        text += unpacked.decompress(client.read_some())
    go_on.set()
    assert text + unpacked.decompress(client.read_rest()) == b"first second"
    assert proxy.get("/b", headers={}).header("Content-Encoding") is None
    assert gzip.decompress(proxy.get("/b", headers=GZIP).body) == b"ok"
    upstream.raw("/c", b"no HTTP")
    page = proxy.get("/c", headers=GZIP)
    assert (page.status, page.header("Content-Encoding")) == (502, None)
    assert "502" in page.text


def test_a_tracer_sees_every_attempt(proxy: Proxy, upstream: Upstream) -> None:
    tracer = Tracer(PluginSettings())
    proxy.location("/", plugins=[tracer], max_retries=1)
    upstream.raw("/broken", b"", then="reset")
    assert proxy.get("/a").status == 200
    assert upstream.received_once().headers["X-Span"] == "1"
    assert proxy.get("/broken").status == 502
    until(lambda: len(tracer.spans) >= 4)
    assert tracer.spans[:2] == ["attempt 1: 200", "request: 200 complete"]
    assert tracer.spans[2] == "attempt 1: failed"
    assert tracer.spans[-1] == "request: 502 complete"


def test_one_worker_counts_as_long_as_it_leads(proxy: Proxy) -> None:
    proxy.location("/", plugins=[Leader])
    proxy.follow()
    assert proxy.get("/").text == "0"
    proxy.lead()
    until(lambda: int(proxy.get("/").text) > 3)
    proxy.follow()
    last = proxy.get("/").text
    assert proxy.get("/").text == last


def test_a_server_has_error_pages_of_its_own(start_proxy, upstream: Upstream) -> None:  # type: ignore[no-untyped-def]
    proxy = start_proxy(
        '[plugins.pages]\ncategory = "small_error_pages"\n'
        '[locations.a]\npath = "/a"\n'
        '[servers.web]\naddr = "127.0.0.1:0"\nlocations = ["a"]\nplugins = ["pages"]\n',
        categories=[ErrorPages],
    )
    assert proxy.get("/a").text == "Sorry: 503"
    assert proxy.get("/nowhere").text == "Sorry: 404"


def test_a_part_of_a_file_is_sent(proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"0123456789")
    proxy.location("/", plugins=[(Files, {"root": str(tmp_path)})])
    assert proxy.get("/a.txt").body == b"0123456789"
    part = proxy.get("/a.txt", headers={"Range": "bytes=2-4"})
    assert (part.status, part.body, part.header("Content-Range")) == (206, b"234", "bytes 2-4/10")
    assert proxy.get("/a.txt", headers={"Range": "bytes=8-20"}).status == 416
    assert proxy.get("/b.txt").status == 404


def test_messages_of_a_websocket_are_rewritten(proxy: Proxy, upstream: Upstream) -> None:
    upstream.websocket("/ws")
    proxy.location("/", plugins=[Observer])
    with proxy.connect_websocket("/ws") as socket:
        socket.send("tea")
        assert socket.receive() == "tea, please"
        socket.send(b"bytes")
        assert socket.receive() == b"bytes"
    assert socket.close_code == 1000


def test_events_are_numbered_and_dropped(proxy: Proxy, upstream: Upstream) -> None:
    text = b"data: a\n\nevent: secret\ndata: b\n\ndata: c\n\n"
    upstream.reply("/events", text, headers={"Content-Type": "text/event-stream"})
    proxy.location("/", plugins=[Events])
    assert proxy.get("/events").text.split() == ["id:", "1", "data:", "a", "id:", "2", "data:", "c"]
