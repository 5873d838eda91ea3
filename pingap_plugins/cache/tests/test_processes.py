"""Several workers, restarts, and what goes wrong with processes and folders."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from pingap_cache.commands import cache
from real_processes import Running, running, until

from pingap.testing import Received, Served, Upstream

FRESH = {"Cache-Control": "max-age=600", "ETag": '"v1"'}
LARGE = bytes(range(256)) * 2000


@pytest.fixture
def pingap(upstream: Upstream, tmp_path: Path) -> Iterator[Running]:
    """Two workers that share a folder."""
    cache = f'directory = "{tmp_path}/cache"\nlock = "10s"\npurge_ip_list = ["127.0.0.1"]'
    with running(tmp_path / "run", upstream.addr, cache=cache) as found:
        yield found


def in_all_workers(pingap: Running, target: str) -> list[str | None]:
    """Return what twenty connections get: by chance, some of them at each worker."""
    return [pingap.get(target).headers.get("X-Cache-Status") for _ in range(20)]


def test_one_request_fetches_for_all_workers(pingap: Running, upstream: Upstream) -> None:
    go = threading.Event()
    upstream.reply("/a", b"text", headers=FRESH, until=go)
    clients = [pingap.connect() for _ in range(20)]
    for client in clients:
        client.send_request("GET", "/a")
    upstream.wait_for_request()
    go.set()
    answers = [client.answer() for client in clients]
    for client in clients:
        client.close()
    assert {answer.body for answer in answers} == {b"text"}
    assert [answer.headers["X-Cache-Status"] for answer in answers].count("miss") == 1
    assert set(in_all_workers(pingap, "/a")) == {"hit"}
    upstream.received_once()


def put_in_the_way(folder: Path) -> bool:
    """Make a file of that name; False if pingap has made the folder again meanwhile."""
    try:
        folder.write_text("in the way")
    except IsADirectoryError:
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True


@pytest.mark.parametrize("how", ["PURGE", "POST"])
def test_what_one_worker_removes_is_gone_for_all(
    pingap: Running, upstream: Upstream, how: str
) -> None:
    upstream.reply("/a", b"old", headers=FRESH)
    pingap.get("/a")
    assert set(in_all_workers(pingap, "/a")) <= {"hit", "miss"}
    pingap.request(how, "/a")
    upstream.reply("/a", b"new", headers=FRESH)
    assert {pingap.get("/a").body for _ in range(20)} == {b"new"}


def test_a_purge_reaches_the_memory_of_all_workers(upstream: Upstream, tmp_path: Path) -> None:
    upstream.reply("/a", b"old", headers=FRESH)
    purge = 'purge_ip_list = ["127.0.0.1"]'
    with running(tmp_path / "run", upstream.addr, cache=purge) as pingap:
        until(lambda: set(in_all_workers(pingap, "/a")) == {"hit"})
        upstream.reply("/a", b"new", headers=FRESH)
        assert pingap.request("PURGE", "/a").status == 204
        until(lambda: {pingap.get("/a").body for _ in range(20)} == {b"new"})


def test_entries_survive_a_restart(upstream: Upstream, tmp_path: Path) -> None:
    cache = f'directory = "{tmp_path}/cache"\nmax_file_size = 0'
    upstream.reply("/small", b"text", headers=FRESH)
    upstream.reply("/large", LARGE, headers=FRESH)
    with running(tmp_path / "run", upstream.addr, cache=cache) as pingap:
        assert pingap.get("/large").body == LARGE
        assert pingap.get("/small").body == b"text"
    with running(tmp_path / "run", upstream.addr, cache=cache) as pingap:
        for path, body in (("/small", b"text"), ("/large", LARGE)):
            answer = pingap.get(path)
            assert (answer.body, answer.headers["X-Cache-Status"]) == (body, "hit")
        part = pingap.get("/large", {"Range": "bytes=300000-300003"})
        assert (part.status, part.body) == (206, LARGE[300000:300004])


def test_a_worker_that_is_killed_while_it_fills_leaves_nothing(
    pingap: Running, upstream: Upstream
) -> None:
    half, go = threading.Event(), threading.Event()

    def handle(served: Served, request: Received) -> None:
        if half.is_set():
            served.respond(LARGE, headers=FRESH)
            return
        head = (
            f"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: {len(LARGE)}\r\n\r\n"
        )
        served.send(head.encode() + LARGE[:300_000])
        half.set()
        served.wait(go)

    upstream.on("/a", handle)
    with pingap.connect() as client:
        client.send_request("GET", "/a")
        client.read_head()
        assert half.wait(10)
        for pid in pingap.workers:
            os.kill(pid, signal.SIGKILL)
        go.set()
    until(lambda: pingap.log.count("will be replaced") >= 1 or len(pingap.workers) == 2)
    until(lambda: _body(pingap, "/a") == LARGE)
    assert {_body(pingap, "/a") for _ in range(5)} == {LARGE}


def _body(pingap: Running, target: str) -> bytes | None:
    """Return a body; None while no worker accepts."""
    try:
        answer = pingap.get(target)
    except (OSError, AssertionError):
        return None
    assert answer.complete or answer.status != 200
    return answer.body


@pytest.mark.parametrize("how", ["removed", "emptied", "a file"])
def test_a_folder_that_goes_away_is_a_miss(
    pingap: Running, upstream: Upstream, tmp_path: Path, how: str
) -> None:
    upstream.reply("/a", b"text", headers=FRESH)
    upstream.reply("/large", LARGE, headers=FRESH)
    pingap.get("/a")
    pingap.get("/large")
    folder = tmp_path / "cache"
    folder.rename(tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone", ignore_errors=True)  # (it is still used)
    if how == "emptied":
        folder.mkdir(exist_ok=True)  # pingap may have made it again
    elif how == "a file":
        until(lambda: put_in_the_way(folder))
    for _ in range(5):
        assert pingap.get("/a").body == b"text"
        assert pingap.get("/large").body == LARGE
        assert pingap.get("/new").status == 200
    assert len(pingap.workers) == 2
    assert "Traceback" not in pingap.log


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_read(
    pingap: Running, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.reply("/a", b"text", headers=FRESH)
    pingap.get("/a")
    (tmp_path / "cache").chmod(0o500)
    for path in ("/a", "/new"):
        assert pingap.get(path).status == 200
    (tmp_path / "cache").chmod(0o700)


def test_two_instances_share_a_folder(upstream: Upstream, tmp_path: Path) -> None:
    cache = f'directory = "{tmp_path}/cache"\npurge_ip_list = ["127.0.0.1"]'
    upstream.reply("/a", b"old", headers={**FRESH, "Vary": "Host"})
    headers = {"Host": "example.org"}
    with (
        running(tmp_path / "one", upstream.addr, cache=cache) as one,
        running(tmp_path / "two", upstream.addr, cache=cache) as two,
    ):
        assert one.get("/a", headers).headers["X-Cache-Status"] == "miss"
        until(lambda: two.get("/a", headers).headers["X-Cache-Status"] == "hit")
        upstream.reply("/a", b"new", headers=FRESH)
        one.request("PURGE", "/a", headers)
        assert two.get("/a", headers).body == b"new"
        assert one.get("/a", headers).body == b"new"


def test_commands_reach_all_workers(
    pingap: Running, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINGAP_STATE_DIR", str(tmp_path / "run/state"))
    upstream.reply("/a", b"old", headers=FRESH)
    pingap.get("/a")
    in_all_workers(pingap, "/a")
    result = CliRunner().invoke(cache, ["stats"])
    assert "workers: 2" in result.output
    url = f"http://127.0.0.1:{pingap.port}/a"
    with pingap.connect() as client:
        client.send_request("GET", "/a", headers={"Host": f"127.0.0.1:{pingap.port}"})
        client.answer()
    until(lambda: "fresh" in CliRunner().invoke(cache, ["why", url]).output)
    result = CliRunner().invoke(cache, ["purge", url])
    assert result.output == "purged: 1\n"
    assert "nothing is stored" in CliRunner().invoke(cache, ["why", url]).output


@pytest.mark.parametrize("lock", ["10s", "0s"])
def test_one_refresh_for_all_workers(upstream: Upstream, tmp_path: Path, lock: str) -> None:
    """Nobody waits for it, whoever began it."""
    cache = f'directory = "{tmp_path}/cache"\nlock = "{lock}"'
    swr = "stale-while-revalidate=600"
    upstream.reply("/a", b"old", headers={"Cache-Control": f"max-age=1, {swr}"})
    with running(tmp_path / "run", upstream.addr, cache=cache) as pingap:
        until(lambda: pingap.get("/a").headers["X-Cache-Status"] == "hit")
        count, go = len(upstream.requests), threading.Event()
        upstream.reply("/a", b"new", headers={"Cache-Control": f"max-age=600, {swr}"}, until=go)
        until(lambda: pingap.get("/a").headers["X-Cache-Status"] == "stale-updating")
        assert set(in_all_workers(pingap, "/a")) == {"stale-updating"}
        go.set()
        until(lambda: {pingap.get("/a").body for _ in range(20)} == {b"new"})
        assert len(upstream.requests) == count + 1
