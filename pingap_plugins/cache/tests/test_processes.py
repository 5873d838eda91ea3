"""Several workers, and restarts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from pingap_cache.commands import cache
from real_processes import running, until

from pingap.testing import ProxyProcess, Upstream

FRESH = {"Cache-Control": "max-age=600", "ETag": '"v1"'}
LARGE = bytes(range(256)) * 2000


@pytest.fixture
def pingap(upstream: Upstream, tmp_path: Path) -> Iterator[ProxyProcess]:
    """Two workers that share a folder."""
    cache = f'directory = "{tmp_path}/cache"\nlock = "10s"\npurge_ip_list = ["127.0.0.1"]'
    with running(tmp_path / "run", upstream.addr, cache=cache) as found:
        yield found


def in_all_workers(pingap: ProxyProcess, target: str) -> list[str | None]:
    """Return what twenty connections get: by chance, some of them at each worker."""
    return [pingap.get(target).headers.get("X-Cache-Status") for _ in range(20)]


def test_one_request_fetches_for_all_workers(pingap: ProxyProcess, upstream: Upstream) -> None:
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


@pytest.mark.parametrize("how", ["PURGE", "POST"])
def test_what_one_worker_removes_is_gone_for_all(
    pingap: ProxyProcess, upstream: Upstream, how: str
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
        for path in (
            "/small",
            "/large",
        ):  # (with a grace period of 0, what is not stored yet is lost)
            until(lambda path=path: pingap.get(path).headers["X-Cache-Status"] == "hit")
    with running(tmp_path / "run", upstream.addr, cache=cache) as pingap:
        for path, body in (("/small", b"text"), ("/large", LARGE)):
            answer = pingap.get(path)
            assert (answer.body, answer.headers["X-Cache-Status"]) == (body, "hit")
        part = pingap.get("/large", headers={"Range": "bytes=300000-300003"})
        assert (part.status, part.body) == (206, LARGE[300000:300004])


def test_commands_reach_all_workers(
    pingap: ProxyProcess, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINGAP_STATE_DIR", str(tmp_path / "run/state"))
    upstream.reply("/a", b"old", headers=FRESH)
    pingap.get("/a")
    in_all_workers(pingap, "/a")
    result = CliRunner().invoke(cache, ["stats"])
    assert "2 workers" in result.output
    url = f"http://127.0.0.1:{pingap.port()}/a"
    with pingap.connect() as client:
        client.send_request("GET", "/a", headers={"Host": f"127.0.0.1:{pingap.port()}"})
        client.answer()
    until(lambda: "fresh" in CliRunner().invoke(cache, ["why", url]).output)
    result = CliRunner().invoke(cache, ["purge", url])
    assert result.output == "purged: 1\n"
    assert "nothing is stored" in CliRunner().invoke(cache, ["why", url]).output


@pytest.mark.parametrize("lock", ["10s", "0s"])
def test_one_refresh_for_all_workers(upstream: Upstream, tmp_path: Path, lock: str) -> None:
    """No request waits for the refresh, not even the one that found the entry stale."""
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
