"""Small files in memory, and files that change."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pingap_static.files import Found, Representation, read_small
from pingap_static.hot import OVERHEAD, HotFiles
from pingap_static.mounts import remote_devices
from pingap_static.plugin import Directory

from pingap import FileBody, Headers, Response
from pingap.testing import Clock, Proxy, make_context, make_request

Site = Callable[..., Proxy]


def entry(size: int = 100, ago: float = 100.0) -> Found:
    changed = time.time_ns() - int(ago * 1e9)
    identity = (1, 2, size, changed, changed)
    return Found(Representation(b"", identity, Headers(), b"", 0, size, b"x" * size))


def test_the_memory_is_limited() -> None:
    hot = HotFiles(10 * (OVERHEAD + 100), 1000)
    for number in range(100):
        hot.keep(f"/{number}", entry())
        hot.find("/0")
    assert len(hot) == 10
    assert hot.size == 10 * (OVERHEAD + 100)
    assert hot.find("/0")
    assert hot.find("/50") is None
    hot.keep("/large", entry(100_000))
    assert hot.find("/large") is None
    for number in range(100):
        hot.forget(f"/{number}")
    assert (len(hot), hot.size) == (0, 0)


def test_a_path_is_resolved_again_after_a_second(clock: Clock) -> None:
    hot = HotFiles(100_000, 1000)
    hot.keep("/", entry())
    assert hot.find("/")
    clock.advance(1.1)
    assert hot.find("/") is None


def test_a_file_that_has_just_changed_is_not_kept() -> None:
    hot = HotFiles(100_000, 1000)
    hot.keep("/", entry(ago=1))
    assert hot.find("/") is None


def test_larger_files_are_read_as_a_whole_if_they_are_in_demand(clock: Clock) -> None:
    hot = HotFiles(16_000_000, 1000)
    assert hot.size_limit("/") == 1000
    hot.keep("/small", entry())
    assert hot.size_limit("/small") == 1000
    hot.keep("/", entry(1001))
    assert hot.size_limit("/") == 1_000_000
    clock.advance(11)
    assert hot.size_limit("/") == 1000
    for number in range(2000):
        hot.keep(f"/{number}", entry(1001))
    assert hot.size_limit("/1999") == 1_000_000
    assert hot.size_limit("/900") == 1000
    assert HotFiles(0, 1000).size_limit("/") == 1000


@pytest.mark.anyio
async def test_a_larger_file_is_in_memory_the_next_time(root: Path, clock: Clock) -> None:
    content = os.urandom(1_000_000)
    (root / "f").write_bytes(content)
    clock.advance(10)
    directory = served(root)
    first, _ = await answer(directory)
    assert isinstance(first.body, FileBody)
    first.body.close()
    assert (await answer(directory))[0].body == content
    assert (await answer(directory))[1] is True


def test_network_file_systems() -> None:
    lines = [
        "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue",
        "37 35 0:49 / /srv rw shared:7 - nfs4 server:/srv rw,addr=192.0.2.1",
        "38 35 0:50 / /mnt rw - fuse.sshfs host: rw",
    ]
    assert remote_devices(lines) == {"0:49", "0:50"}


def served(root: Path) -> Directory:
    return Directory(Directory.Settings(path=str(root)))


async def answer(directory: Directory, path: str = "/f") -> tuple[Response, bool]:
    """Return the response, and whether it came at once."""
    given = directory.request(make_request(target=path), make_context())
    if isinstance(given, Response):
        return given, True
    assert given is not None
    response = await given
    assert response is not None
    return response, False


@pytest.mark.anyio
async def test_what_was_asked_for_lately_needs_no_thread(root: Path, clock: Clock) -> None:
    file = root / "f"
    file.write_bytes(b"one")
    clock.advance(10)
    directory = served(root)
    assert (await answer(directory))[1] is False
    response, at_once = await answer(directory)
    assert (response.body, at_once) == (b"one", True)
    file.write_bytes(b"two")  # of the same size
    response, at_once = await answer(directory)
    assert (response.body, at_once) == (b"two", False)
    clock.advance(10)
    await answer(directory)
    assert (await answer(directory))[1] is True
    (root / "f").rename(root / "g")
    (root / "f").write_bytes(b"new")
    assert (await answer(directory))[0].body == b"new"


@pytest.mark.anyio
async def test_responses_from_memory_are_not_shared(root: Path, clock: Clock) -> None:
    (root / "f").write_bytes(b"one")
    clock.advance(10)
    directory = served(root)
    await answer(directory)
    first, _ = await answer(directory)
    first.headers.set("X-User", "a")
    second, at_once = await answer(directory)
    assert at_once
    assert "X-User" not in second.headers


@pytest.mark.anyio
async def test_network_file_systems_are_asked_in_a_thread(
    root: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "f").write_bytes(b"one")
    clock.advance(10)
    monkeypatch.setattr("pingap_static.lookup.is_remote", lambda device: True)
    directory = served(root)
    for _ in range(3):
        assert (await answer(directory))[1] is False


def test_a_small_file_that_changes_while_it_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    path = root / "f"
    path.write_bytes(b"old")
    descriptor = os.open(path, os.O_RDONLY)
    pread, changes = os.pread, [b"longer", b"x", b"final"]

    def late(*arguments: int) -> bytes:
        content = pread(*arguments)
        if changes:
            path.write_bytes(changes.pop(0))
        return content

    monkeypatch.setattr(os, "pread", late)
    try:
        assert read_small(descriptor, 100)[1] is None  # it is sent in pieces
        found, content = read_small(descriptor, 100)
    finally:
        os.close(descriptor)
    assert content == b"final"
    assert found.st_size == 5


@pytest.mark.parametrize("change", ["truncate", "overwrite"])
def test_a_large_file_that_changes_while_it_is_sent_is_never_complete(
    site: Site, root: Path, change: str
) -> None:
    path, size = root / "f", 40_000_000
    path.touch()
    os.truncate(path, size)
    proxy = site()
    with proxy.connect() as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send_request("GET", "/f")
        assert client.read_head().headers["Content-Length"] == str(size)
        if change == "truncate":
            os.truncate(path, 1000)
        else:
            path.write_bytes(b"x" * size)
        received = 0
        while piece := client.sock.recv(1_000_000):
            received += len(piece)
    assert received < size
    assert str(path) in proxy.wait_for_log("while it was sent")


def test_a_large_file_that_is_replaced_is_sent_to_its_end(site: Site, root: Path) -> None:
    content = os.urandom(8_000_000)
    (root / "f").write_bytes(content)
    (root / "new").write_bytes(b"x" * 8_000_000)
    with site().connect() as client:
        client.send_request("GET", "/f")
        client.read_head()
        (root / "new").rename(root / "f")
        assert client.read_rest() == content


def open_files(root: Path) -> int:
    links = [one for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    return sum(os.path.realpath(one).startswith(str(root)) for one in links)


def test_descriptors_are_closed(site: Site, root: Path) -> None:
    for suffix in ("", ".br", ".gz"):
        (root / f"f{suffix}").write_bytes(b"x" * 200_000)
    proxy = site(autoindex=True)
    for headers in (
        {},
        {"Range": "bytes=0-1,5-6"},
        {"Accept-Encoding": "br"},
        {"Range": "bytes=900000-"},
    ):
        for method in ("GET", "HEAD"):
            for path in ("/f", "/", "/none"):
                proxy.request(method, path, headers=headers)
    proxy.settle()
    assert open_files(root) == 0


def test_a_disk_that_fails_is_500_and_one_line(site: Site, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    (root / "f").write_bytes(b"x")
    proxy = site()

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("pingap_static.lookup.read_small", broken)
    answer = proxy.get("/f")
    assert answer.status == 500
    assert "File access error" in answer.text
    assert proxy.log.count("Input/output error") == 1
