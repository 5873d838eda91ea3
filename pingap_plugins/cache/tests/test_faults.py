"""Faults of disks and processes while a real pingap serves: at worst a miss and a warning, never a wrong or cut answer."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from real_processes import running, until

from pingap.testing import ProxyProcess, Received, Served, Upstream

FRESH = {"Cache-Control": "max-age=600", "ETag": '"v1"'}
# In a row of the database, in a file of one block, in one of several.
PAGES = {
    f"/{number}": bytes([number]) * size
    for number, size in enumerate([900, 5_000, 60_000, 70_000, 130_000, 400_000] * 3)
}
SHARED = "max_file_size = 0\nlock = '10s'\npurge_ip_list = ['127.0.0.1']"
PROCESSES = 2
MEBIBYTE = 1024 * 1024


@pytest.fixture
def origin(upstream: Upstream) -> Upstream:
    """An upstream with pages."""
    for path, body in PAGES.items():
        upstream.reply(path, body, headers=FRESH)
    return upstream


def on_disk(folder: Path) -> str:
    """Return settings of a cache that has nothing in memory."""
    return f'directory = "{folder}?cache_max=0"\n{SHARED}'


def visit(pingap: ProxyProcess, rounds: int = 1) -> Counter[str | None]:
    """Ask for all pages, several at once; every answer has to be right. Return how they were answered."""

    def ask(path: str) -> str | None:
        answer = pingap.get(path)
        assert (answer.status, answer.complete) == (200, True), path
        assert answer.body == PAGES[path], path
        return answer.headers.get("X-Cache-Status")

    with ThreadPoolExecutor(4) as threads:
        return Counter(threads.map(ask, list(PAGES) * rounds))


def stored(pingap: ProxyProcess) -> None:
    """Return when all pages are stored."""
    until(lambda: visit(pingap)["hit"] == len(PAGES))


def warnings(pingap: ProxyProcess, folder: Path) -> list[str]:
    """Return what the log says of a folder, without the time."""
    found = [line for line in pingap.log.splitlines() if f"the cache in {folder}" in line]
    assert "Traceback" not in pingap.log
    return [line.partition("the cache in ")[2] for line in found]


def said_once(pingap: ProxyProcess, folder: Path, *words: str) -> None:
    """Check that each process has logged one warning at most, and one of them did, with one of these words."""
    found = warnings(pingap, folder)
    assert 1 <= len(found) <= PROCESSES, found
    assert not words or any(word in found[0] for word in words), found


# Full disks.


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """Mount a file system of some bytes."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "pingap-test", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip(
            "this user may not mount a small file system; the test with a limit covers the rest"
        )
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_is_full(origin: Upstream, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with (
        small_disk(disk, 2 * MEBIBYTE),
        running(tmp_path / "run", origin.addr, cache=on_disk(disk)) as pingap,
    ):
        statuses = visit(pingap, rounds=4)
        assert statuses["hit"]
        assert statuses["miss"] > len(PAGES)  # not all of it fits
        said_once(pingap, disk, "No space left on device", "disk is full")
        # A purge works without room, and there is some afterwards.
        assert pingap.request("PURGE", "/*").status == 200
        assert pingap.get("/1").headers["X-Cache-Status"] == "miss"
        until(lambda: pingap.get("/1").headers["X-Cache-Status"] == "hit")


def test_files_that_may_not_grow(origin: Upstream, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    with running(tmp_path / "run", origin.addr, cache=on_disk(folder)) as pingap:
        pingap.get("/3")
        until(lambda: pingap.get("/3").headers["X-Cache-Status"] == "hit")
        limits = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pingap.workers}
        for pid, (_, hard) in limits.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (100_000, hard))
        visit(pingap, rounds=3)
        said_once(pingap, folder)
        for pid, limit in limits.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
        stored(pingap)


# Folders that go away.


@pytest.mark.parametrize("how", ["removed", "emptied", "a file"])
def test_a_folder_that_goes_away(origin: Upstream, tmp_path: Path, how: str) -> None:
    folder, gone = tmp_path / "cache", tmp_path / "gone"
    with running(tmp_path / "run", origin.addr, cache=on_disk(folder)) as pingap:
        stored(pingap)
        with ThreadPoolExecutor(1) as thread:
            visiting = thread.submit(visit, pingap, 4)
            folder.rename(gone)
            if how == "emptied":
                folder.mkdir(exist_ok=True)
            elif how == "a file":
                until(lambda: put_in_the_way(folder))
            shutil.rmtree(gone)
            assert visiting.result()["miss"]
        said_once(pingap, folder)
        if how == "a file":
            folder.unlink()
        stored(pingap)


def put_in_the_way(folder: Path) -> bool:
    """Make a file of that name; False if pingap has made the folder again meanwhile."""
    try:
        folder.write_text("in the way")
    except IsADirectoryError:
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True


def like_others() -> list[str]:
    """Return what makes root a user whom the modes of files hold back."""
    if os.geteuid():
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and there is no setpriv to change that")
    without = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={without}", f"--inh-caps={without}"]


@pytest.mark.parametrize("restart", [False, True])
def test_a_folder_that_becomes_read_only(origin: Upstream, tmp_path: Path, restart: bool) -> None:
    folder = tmp_path / "cache"
    with running(
        tmp_path / "run", origin.addr, cache=on_disk(folder), prefix=like_others()
    ) as pingap:
        for path in list(PAGES)[:6]:
            pingap.get(path)
        until(lambda: pingap.get("/5").headers["X-Cache-Status"] == "hit")
        paths = [folder, *folder.rglob("*")]
        for path in paths:
            path.chmod(path.stat().st_mode & ~0o222)
        if restart:
            kill_workers(pingap)
        visit(pingap, rounds=3)
        said_once(pingap, folder)
        for path in paths:
            path.chmod(path.stat().st_mode | 0o200)
        stored(pingap)


# Damage.


@pytest.mark.parametrize("what", ["bodies", "database", "everything"])
def test_damage_while_it_serves(origin: Upstream, tmp_path: Path, what: str) -> None:
    folder = tmp_path / "cache"
    chance = random.Random(what)
    with running(tmp_path / "run", origin.addr, cache=on_disk(folder)) as pingap:
        for _ in range(3):
            stored(pingap)
            pattern = {"bodies": "*.body", "database": "cache.db*", "everything": "*"}[what]
            files = [path for path in folder.rglob(pattern) if path.is_file()]
            for path in files:
                damage(path, chance)
            visit(pingap, rounds=3)
        stored(pingap)
        assert len(pingap.workers) == PROCESSES
        said_once(pingap, folder)


def damage(path: Path, chance: random.Random) -> None:
    """Write something else in some places of a file; it keeps its length."""
    try:
        with path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            for _ in range(size // 4000 + 1):
                file.seek(chance.randrange(size))
                file.write(chance.randbytes(20))
            file.truncate(size)
    except (FileNotFoundError, ValueError):
        return  # it was removed meanwhile, or is empty


# Killed processes.


def kill_workers(pingap: ProxyProcess) -> None:
    """Kill all workers, and return when there are others."""
    old = pingap.workers
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(pingap.workers) == PROCESSES and not set(pingap.workers) & set(old))
    until(lambda: body_of(pingap, "/0") == PAGES["/0"])


def body_of(pingap: ProxyProcess, target: str) -> bytes | None:
    """Return a body; None while no worker accepts."""
    try:
        answer = pingap.get(target)
    except (OSError, AssertionError):
        return None
    assert answer.complete or answer.status != 200
    return answer.body


def test_workers_that_are_killed_while_they_fill(origin: Upstream, tmp_path: Path) -> None:
    """What was half written is never served, nor left behind."""
    half, go = threading.Event(), threading.Event()
    body = bytes(range(250)) * 2000

    def handle(served: Served, request: Received) -> None:
        if half.is_set():
            served.respond(body, headers=FRESH)
            return
        head = (
            f"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        served.send(head.encode() + body[:300_000])
        half.set()
        served.wait(go)

    origin.on("/a", handle)
    folder = tmp_path / "cache"
    with running(tmp_path / "run", origin.addr, cache=on_disk(folder)) as pingap:
        with pingap.connect() as client:
            client.send_request("GET", "/a")
            client.read_head()
            assert half.wait(10)
            until(lambda: list(folder.rglob("*.body")))
            kill_workers(pingap)
            go.set()
        until(lambda: body_of(pingap, "/a") == body)
        assert {body_of(pingap, "/a") for _ in range(5)} == {body}
        until(lambda: pingap.get("/a").headers["X-Cache-Status"] == "hit")
        # The file of the worker that was killed is removed when a new one tends the folder.
        until(lambda: len(list(folder.rglob("*.body"))) == 1)
        assert warnings(pingap, folder) == []


def test_workers_that_are_killed_again_and_again(origin: Upstream, tmp_path: Path) -> None:
    """Whatever they were doing, what is found afterwards is right."""
    folder = tmp_path / "cache"
    cache = on_disk(folder).replace("?", "?max_size=1MiB&")  # so that they evict as well
    with running(tmp_path / "run", origin.addr, cache=cache) as pingap:
        for turn in range(2):
            with ThreadPoolExecutor(3) as threads:
                asking = [
                    threads.submit(ask_until_cut, pingap, 7 * turn + number) for number in range(3)
                ]
                some = len(origin.requests) + 20
                until(lambda some=some: len(origin.requests) > some)
                kill_workers(pingap)
                for one in asking:
                    one.result()
            visit(pingap)
        visit(pingap, rounds=2)
        assert warnings(pingap, folder) == []


def ask_until_cut(pingap: ProxyProcess, first: int) -> None:
    """Ask for pages until the worker that answers is killed."""
    paths = list(PAGES)
    with pingap.connect() as client:
        for number in range(1000):
            path = paths[(first + number) % len(paths)]
            try:
                answer = client.request("GET", path)
            except (OSError, AssertionError):
                return
            if not answer.complete:
                return
            assert answer.body == PAGES[path]


# Two instances.


def test_two_instances_on_one_folder(origin: Upstream, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    host = {"Host": "example.org"}  # (by which both find the same entries)
    with running(tmp_path / "one", origin.addr, cache=on_disk(folder)) as one:
        with running(tmp_path / "two", origin.addr, cache=on_disk(folder)) as two:
            with ThreadPoolExecutor(2) as threads:
                for statuses in threads.map(visit, (one, two), (3, 3)):
                    assert statuses["hit"]
            assert one.get("/5", headers=host).body == PAGES["/5"]
            until(lambda: two.get("/5", headers=host).headers["X-Cache-Status"] == "hit")
            origin.reply("/5", b"new", headers=FRESH)
            assert one.request("PURGE", "/5", headers=host).status == 204
            assert two.get("/5", headers=host).body == b"new"
            two.process.kill()  # with its workers left alone for a moment
        assert one.get("/5", headers=host).body == b"new"
        origin.reply("/5", PAGES["/5"], headers=FRESH)
        visit(one)
        assert warnings(one, folder) == []
