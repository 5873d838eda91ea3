"""Files as bodies, through sockets: parts of them, slow and leaving clients, and files that change meanwhile."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from support.waiting import until

from pingap import (
    BodyFilter,
    FileBody,
    Headers,
    Plugin,
    Request,
    Response,
    ThreadedBodyFilter,
    hookimpl,
)
from pingap.plugins import file_body
from pingap.plugins.file_body import PIECE, OpenFile
from pingap.testing import Proxy

CONTENT = bytes(range(256)) * 20_000


class Upper(BodyFilter):
    def feed(self, chunk: bytes) -> bytes:
        return chunk.upper()

    def end(self, trailers: Headers) -> bytes:
        return b"!"


class Files(Plugin):
    """Sends a file, or a part of it: ``/?path``, ``/?descriptor&start=3&length=4``."""

    category = "files"

    def __init__(self, settings: Any) -> None:
        self.path = Path()

    @hookimpl
    def request(self, request: Request) -> Response:
        opened = "descriptor" in request.query
        file = os.open(self.path, os.O_RDONLY) if opened else self.path
        start, length = request.query_value("start"), request.query_value("length")
        body = FileBody(file, int(start or 0), int(length) if length else None)
        response = Response(int(request.query_value("status") or 200), body)
        if request.path == "/replaced":
            return Response.text(200, "another one")
        return response

    @hookimpl
    def response(self, request: Request) -> None:
        if request.path == "/fails":
            raise RuntimeError("no response")


class Uppers(Plugin):
    """Filters files."""

    category = "uppers"
    body = "rewrites"

    @hookimpl
    def response_body(self, request: Request) -> Any:
        return Upper() if request.path == "/upper" else ThreadedBodyFilter(Upper())


@pytest.fixture(params=["cached", "cold"])
def plugin(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Files:
    if request.param == "cold":  # as if nothing were in memory
        monkeypatch.setattr(file_body, "_NO_WAIT", 0)
    plugin = Files(None)
    plugin.path = tmp_path / "file"
    plugin.path.write_bytes(CONTENT)
    return plugin


@pytest.fixture
def files(proxy: Proxy, plugin: Files) -> Proxy:
    proxy.location("/", plugins=[plugin])
    for path in ("/upper", "/threads"):
        proxy.location(path, plugins=[plugin, Uppers])
    proxy.configure("servers.web", enabled_h2=True)
    return proxy.start()


def opened(path: Path) -> int:
    """Return how many descriptors of a file this process has."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            found += link.readlink() == path
        except FileNotFoundError:  # the one of iterdir
            continue
    return found


def connect(proxy: Proxy, *, http2: bool) -> Any:
    return proxy.connect_http2() if http2 else proxy.connect()


@pytest.mark.parametrize("how", ["path", "descriptor"])
@pytest.mark.parametrize("http2", [False, True])
def test_a_file_or_a_part_of_it_is_sent(files: Proxy, plugin: Files, how: str, http2: bool) -> None:
    client = connect(files, http2=http2)
    for part in (slice(None), slice(5, 9), slice(PIECE - 1, 3 * PIECE), slice(7, 7)):
        start = part.start or 0
        length = "" if part.stop is None else f"&length={part.stop - start}"
        answer = client.get(f"/?{how}&start={start}{length}")
        assert answer.body == CONTENT[part]
        assert answer.complete
        assert answer.header("content-length") == str(len(CONTENT[part]))
        assert answer.header("transfer-encoding") is None
    until(lambda: not opened(plugin.path))


@pytest.mark.parametrize("how", ["path", "descriptor"])
@pytest.mark.parametrize("http2", [False, True])
def test_head_and_304_have_no_body_and_open_nothing(
    files: Proxy, plugin: Files, how: str, http2: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileBody, "open", None)
    client = connect(files, http2=http2)
    answer = client.request("HEAD", f"/?{how}&start=1")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("content-length") == str(len(CONTENT) - 1)
    answer = client.get(f"/?{how}&status=304")
    assert (answer.status, answer.body) == (304, b"")
    until(lambda: not opened(plugin.path))


@pytest.mark.parametrize("path", ["/upper", "/threads"])
@pytest.mark.parametrize("http2", [False, True])
def test_filters_see_files(files: Proxy, path: str, http2: bool) -> None:
    client = connect(files, http2=http2)
    for target in (f"{path}?path", f"{path}?path&start=300&length=20"):
        answer = client.get(target)
        part = CONTENT if "start" not in target else CONTENT[300:320]
        assert answer.body == part.upper() + b"!"


@pytest.mark.parametrize("path", ["/replaced", "/fails"])
def test_a_file_that_is_not_sent_is_closed(files: Proxy, plugin: Files, path: str) -> None:
    with files.connect() as client:
        assert client.get(f"{path}?descriptor").status == (500 if path == "/fails" else 200)
    if path == "/fails":
        files.expect_error("no response")
    until(lambda: not opened(plugin.path))


@pytest.mark.parametrize("http2", [False, True])
def test_a_client_that_reads_nothing_has_little_read_for_it(
    files: Proxy, plugin: Files, http2: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = [0]
    for name in ("pread", "preadv"):
        function = getattr(os, name)

        def counted(*args: Any, function: Any = function) -> Any:
            result = function(*args)
            read[0] += result if isinstance(result, int) else len(result)
            return result

        monkeypatch.setattr(file_body.os, name, counted)
    size = 40_000_000
    os.truncate(plugin.path, size)
    client = connect(files, http2=http2)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    stream = client.send_request("GET", "/?path")
    before = -1
    while read[0] != before or not before:  # until nothing moves any more
        before = read[0]
        threading.Event().wait(0.3)
    assert before < size // 2
    assert opened(plugin.path) == 1
    if http2:
        client.cancel(stream)
    else:
        client.reset()
    until(lambda: not opened(plugin.path))


@pytest.mark.parametrize("how", ["path", "descriptor"])
def test_a_client_that_reads_slowly_gets_all(files: Proxy, plugin: Files, how: str) -> None:
    client = files.connect()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    body = b""
    for _ in range(2):
        client.send_request("GET", f"/?{how}")
        client.read_head()
        parts = []
        while data := client.read_some():
            parts.append(data)
        body = b"".join(parts)
        assert body == CONTENT
    until(lambda: not opened(plugin.path))


@pytest.mark.parametrize("http2", [False, True])
def test_a_file_that_shrinks_has_its_response_cut(files: Proxy, plugin: Files, http2: bool) -> None:
    size = 40_000_000
    os.truncate(plugin.path, size)
    client = connect(files, http2=http2)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    stream = client.send_request("GET", "/?path")
    until(lambda: opened(plugin.path) == 1)
    files.settle()
    os.truncate(plugin.path, 1000)
    answer = client.answer(stream) if http2 else client.answer()
    assert (answer.status, answer.complete) == (200, False)
    assert len(answer.body) < size
    assert "shrank" in files.wait_for_log("while it was sent")
    assert "WARN" in next(line for line in files.log.splitlines() if "shrank" in line)
    until(lambda: not opened(plugin.path))


def test_a_file_that_is_gone_before_it_is_sent_answers_500(
    files: Proxy, plugin: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens = FileBody._open_path

    def late(body: FileBody) -> OpenFile:
        plugin.path.unlink()
        return opens(body)

    monkeypatch.setattr(FileBody, "_open_path", late)
    answer = files.get("/?path")
    assert (answer.status, answer.complete) == (500, True)
    assert str(plugin.path) not in answer.text
    assert "No such file" in files.wait_for_log("cannot open")


def test_a_disk_that_hangs_is_given_up(
    files: Proxy, plugin: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr("pingap.proxy.body_source.READ_SECONDS", 0.1)
    monkeypatch.setattr(file_body, "_NO_WAIT", 0)
    pread = os.pread

    def hangs(*args: Any) -> bytes:
        assert go_on.wait(20)
        return pread(*args)

    monkeypatch.setattr(file_body.os, "pread", hangs)
    assert files.get("/?descriptor").status == 500
    files.wait_for_log("took longer than")
    assert opened(plugin.path) == 1  # the thread still reads from it
    go_on.set()
    until(lambda: not opened(plugin.path))


def test_many_files_at_once(files: Proxy, plugin: Files) -> None:
    answers: list[bytes] = []

    def read() -> None:
        with files.connect() as client:
            answers.extend(client.get("/?path").body for _ in range(5))

    threads = [threading.Thread(target=read) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(answers) == 100
    assert set(answers) == {CONTENT}
    until(lambda: not opened(plugin.path))
