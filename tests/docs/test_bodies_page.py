"""Every plugin of the page about bodies in a real proxy, configured with the TOML that the page shows."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from docs.blocks import DOCS, every_block

from pingap.testing import Proxy, Received, Served, Upstream

PAGE = DOCS / "bodies.md"
FILES = [block.file for block in every_block(PAGE) if block.language == "python" and block.file]

Show = Callable[..., Proxy]


@pytest.fixture
def show(directory: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Iterator[Show]:
    """Start a proxy with an example: ``show("gzipped.py")``."""
    monkeypatch.chdir(directory)
    monkeypatch.setenv("WEBHOOK_SECRET", "the key")
    with ExitStack() as running:

        def start(file: str, change: tuple[str, str] = ("", "")) -> Proxy:
            (text,) = (
                block.text
                for block in every_block(PAGE)
                if f'path = "plugins/{file}"' in block.text
            )
            assert change[0] in text
            text = text.replace(*change)
            for name in ("site", "api", "app"):
                text += f'\n[upstreams.{name}]\naddrs = ["{upstream.addr}"]\n'
            (location,) = (
                line[11:-1] for line in text.splitlines() if line.startswith("[locations.")
            )
            text += f'\n[servers.web]\naddr = "127.0.0.1:0"\nlocations = ["{location}"]\n'
            return running.enter_context(Proxy(text))

        yield start


def test_every_example_has_a_test() -> None:
    here = Path(__file__).read_text()
    assert len(FILES) == 7
    for file in FILES:
        assert f'show("{file.removeprefix("plugins/")}"' in here


def test_ticker(show: Show) -> None:
    with show("ticker.py").connect() as client:
        client.send_request("GET", "/time")
        assert client.read_head().status == 200
        assert client.read_some().strip().isdigit()


def test_gzipped(show: Show, upstream: Upstream) -> None:
    proxy = show("gzipped.py")
    body = b"".join(b"%d\n" % number for number in range(50_000))
    upstream.reply("/large", body, headers={"Content-Type": "text/plain", "ETag": '"1"'})
    upstream.reply("/small", b"text", headers={"Content-Type": "text/plain"})
    upstream.reply("/image", body, headers={"Content-Type": "image/png"})
    accept = {"Accept-Encoding": "br, gzip"}
    for path in ("/large", "/small"):
        answer = proxy.get(path, headers=accept)
        assert gzip.decompress(answer.body) == (body if path == "/large" else b"text")
        assert answer.header("content-encoding") == "gzip"
        assert answer.header("vary") == "Accept-Encoding"
        assert answer.header("etag") is None
        assert proxy.request("HEAD", path, headers=accept).header("content-encoding") == "gzip"
        assert proxy.get(path).header("content-encoding") is None
    assert proxy.get("/image", headers=accept).body == body
    upstream.raw("/broken", b"no HTTP")
    page = proxy.get("/broken", headers=accept)
    assert (page.status, page.header("content-encoding")) == (502, None)


def test_gzipped_events(show: Show, upstream: Upstream) -> None:
    proxy = show("gzipped.py")
    go_on = threading.Event()

    def events(served: Served, request: Received) -> None:
        served.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        served.send(b"d\r\ndata: first\n\n\r\n")
        served.wait(go_on)
        served.send(b"0\r\n\r\n")

    upstream.on("/", events)
    with proxy.connect() as client:
        client.send_request("GET", "/", headers={"Accept-Encoding": "gzip"})
        client.read_head()
        decompressor = zlib.decompressobj(wbits=31)
        text = b""
        while text != b"data: first\n\n":
            data = client.read_some()
            assert data
            text += decompressor.decompress(data)
        go_on.set()
        assert client.read_rest()


def test_throttle(show: Show, upstream: Upstream) -> None:
    proxy = show("throttle.py")
    body = b"x" * 300_000
    upstream.reply("/", body)
    began = time.monotonic()
    answer = proxy.get("/")
    assert answer.body == body
    assert answer.header("content-length") == str(len(body))
    assert time.monotonic() - began > 0.28


def test_etags(show: Show, upstream: Upstream) -> None:
    proxy = show("etags.py")
    upstream.reply("/", b"content")
    upstream.reply("/large", b"x" * 70_000)
    upstream.reply("/none", b"none", status=404)
    upstream.raw("/half", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    answer = proxy.get("/")
    tag = answer.headers["ETag"]
    assert (answer.body, answer.header("content-length")) == (b"content", "7")
    again = proxy.get("/", headers={"If-None-Match": tag})
    assert (again.status, again.body, again.header("etag")) == (304, b"", tag)
    assert proxy.get("/large").header("etag") is None
    assert proxy.get("/none").header("etag") is None
    assert proxy.get("/half").status == 502


def test_downloads(show: Show, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"0123456789")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    proxy = show("downloads.py", ("/srv/downloads", str(tmp_path)))
    answer = proxy.get("/a.txt")
    assert (answer.status, answer.body, answer.header("content-length")) == (
        200,
        b"0123456789",
        "10",
    )
    assert answer.headers["Last-Modified"].endswith(" GMT")
    answer = proxy.request("HEAD", "/a.txt")
    assert (answer.status, answer.header("content-length")) == (200, "10")
    for wanted, body, shown in [
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=7-99", b"789", "bytes 7-9/10"),
    ]:
        answer = proxy.get("/a.txt", headers={"Range": wanted})
        assert (answer.status, answer.body, answer.header("content-range")) == (206, body, shown)
    answer = proxy.get("/a.txt", headers={"Range": "bytes=10-"})
    assert (answer.status, answer.header("content-range")) == (416, "bytes */10")
    assert proxy.get("/empty").body == b""
    for path in ("/none", "/folder", "/", "/../etc/passwd", "/folder/x", "/.hidden"):
        assert proxy.get(path).status == 404
    assert proxy.request("POST", "/a.txt").status == 405


def test_compact_json(show: Show, upstream: Upstream) -> None:
    proxy = show("compact_json.py")
    headers = {"Content-Type": "application/json", "ETag": '"a"'}
    upstream.reply("/data", b'{ "a": [1, 2] }', headers=headers)
    upstream.reply("/broken", b'{ "a": ', headers=headers)
    upstream.reply("/text", b"[1, 2]", headers={"Content-Type": "text/plain"})
    answer = proxy.get("/data")
    assert (answer.body, answer.header("etag")) == (b'{"a":[1,2]}', None)
    assert answer.header("content-length") == "11"
    answer = proxy.get("/broken")
    assert (answer.body, answer.header("etag")) == (b'{ "a": ', '"a"')
    assert proxy.get("/text").body == b"[1, 2]"


def test_webhook(show: Show, upstream: Upstream) -> None:
    proxy = show("webhook.py")
    body = b'{"action": "push"}'
    signature = "sha256=" + hmac.new(b"the key", body, hashlib.sha256).hexdigest()

    def post(signature: str, body: bytes = body) -> int:
        headers = {"X-Hub-Signature-256": signature}
        return proxy.request("POST", "/hooks", headers=headers, body=body).status

    assert proxy.request("POST", "/hooks", body=body).status == 401
    assert post(signature, body + b" ") == 403
    assert post("\N{SNOWMAN}".encode().decode("latin-1")) == 403
    assert post(signature, b"x" * (1024 * 1024 + 1)) == 413
    assert upstream.requests == []
    assert post(signature) == 200
    assert upstream.requests[0].body == body
