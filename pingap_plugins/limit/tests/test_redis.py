"""Limits over machines, in a real Redis."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from limit_processes import running, until
from redis_servers import Redis, cluster, needs_redis, redis_server, sentinels

from pingap.testing import Client, Proxy, Upstream

pytestmark = [needs_redis, pytest.mark.timeout(120)]

STRATEGIES = ["estimate", "fixed-window", "moving-window", "sliding-window-counter", "gcra"]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    with redis_server(tmp_path / "redis") as server:
        yield server


def limited(proxy: Proxy, storage: str, **settings: object) -> None:
    proxy.configure(
        "plugins.slow",
        category="limit",
        storage=storage,
        **{"storage_timeout": "5s"} | settings,  # the machine may be busy
    )
    proxy.location("/", plugins=["slow"])


def statuses(proxy: Proxy, number: int, **more: object) -> list[int]:
    return [proxy.get("/", **more).status for _ in range(number)]  # type: ignore[arg-type]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_exactly_max_requests_pass(proxy: Proxy, redis: Redis, strategy: str) -> None:
    limited(proxy, f"redis://{redis.addr}", max=3, interval="1h", strategy=strategy, headers=True)
    answers = [proxy.get("/") for _ in range(5)]
    assert [one.status for one in answers] == [200] * 3 + [429] * 2
    told = [one.headers["RateLimit"] for one in answers]
    assert [one.split(";")[1] for one in told] == ["r=2", "r=1", "r=0", "r=0", "r=0"]
    assert all(0 < int(one.partition("t=")[2]) <= 3600 for one in told)
    most = fields_number(3 / 3600)
    assert answers[3].text == f"Plugin limit, exceed limit {fields_number(4 / 3600)}/{most}"
    assert 0 < int(answers[3].headers["Retry-After"]) <= 3600


def fields_number(value: float) -> str:
    return f"{value:.10f}".rstrip("0")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_later_there_is_more(proxy: Proxy, redis: Redis, strategy: str) -> None:
    limited(proxy, f"redis://{redis.addr}", max=1, interval="1s", strategy=strategy)
    until(lambda: proxy.get("/").status == 429)
    until(lambda: proxy.get("/").status == 200)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_instances_let_exactly_50_pass(
    tmp_path: Path, redis: Redis, upstream: Upstream, strategy: str
) -> None:
    limit = f'max = 50\ninterval = "1h"\nstrategy = "{strategy}"\n'
    limit += f'storage = "redis://{redis.addr}"\nstorage_timeout = "10s"'
    with (
        running(tmp_path / "a", upstream.addr, limit, 2) as one,
        running(tmp_path / "b", upstream.addr, limit, 1) as two,
    ):
        found = [one.hammer(80), two.hammer(80)]
        threads_together(lambda: one.hammer(40, 4), lambda: two.hammer(40, 4))
    assert found[0][200] + found[1][200] == 50
    assert len(upstream.requests) == 50


def threads_together(*works: Callable[[], object]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_requests_in_progress_count_over_instances(
    tmp_path: Path, redis: Redis, upstream: Upstream, proxy: Proxy
) -> None:
    go = threading.Event()
    upstream.reply("/slow", b"late", until=go)
    limit = f'type = "inflight"\nmax = 2\nstorage = "redis://{redis.addr}"\nstorage_timeout = "10s"'
    limited(proxy, f"redis://{redis.addr}", type="inflight", max=2)
    with running(tmp_path / "a", upstream.addr, limit, 1) as other:
        with proxy.connect() as client:
            client.send_request("GET", "/slow")
            upstream.wait_for_request(1)
            assert other.get("/") == 200
            second = threading.Thread(target=lambda: other.get("/slow"))
            second.start()
            upstream.wait_for_request(3)
            answer = proxy.get("/")
            assert (answer.status, answer.text) == (429, "Plugin limit, exceed limit 3/2")
            assert other.get("/") == 429
            go.set()
            assert client.answer().status == 200
            second.join()
        until(lambda: other.get("/") == 200)


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pingap_limit.redis_slots._LEASE", 2.0)
    monkeypatch.setattr("pingap_limit.redis_slots._RENEWED_EVERY", 0.4)


@pytest.mark.usefixtures("short_leases")
def test_the_slot_of_a_long_request_is_renewed(
    proxy: Proxy, redis: Redis, upstream: Upstream
) -> None:
    go = threading.Event()
    upstream.reply("/slow", b"late", until=go)
    limited(proxy, f"redis://{redis.addr}", type="inflight", max=1)
    with proxy.connect() as client:
        client.send_request("GET", "/slow")
        upstream.wait_for_request()
        end = time.monotonic() + 4  # two leases
        while time.monotonic() < end:
            assert proxy.get("/").status == 429
        go.set()
        assert client.answer().status == 200
    until(lambda: proxy.get("/").status == 200)


@pytest.mark.usefixtures("short_leases")
def test_slots_of_a_machine_that_died_become_free(
    tmp_path: Path, proxy: Proxy, redis: Redis, upstream: Upstream
) -> None:
    go = threading.Event()
    upstream.reply("/slow", b"late", until=go)
    limit = f'type = "inflight"\nmax = 1\nstorage = "redis://{redis.addr}"\nstorage_timeout = "10s"'
    limited(proxy, f"redis://{redis.addr}", type="inflight", max=1)
    with (
        running(tmp_path / "a", upstream.addr, limit, 1) as other,
        Client(("127.0.0.1", other.port)) as client,
    ):
        client.send_request("GET", "/slow")
        upstream.wait_for_request()
        assert proxy.get("/").status == 429
        key = redis.ask("KEYS", "*slots*").split(b"\r\n")[2].decode()
        for pid in (other.proxy.process.pid, *other.workers):
            os.kill(pid, signal.SIGKILL)
        go.set()
        assert proxy.get("/").status == 429
        assert int(redis.ask("PTTL", key)[1:]) <= 30_000
        redis.ask("PEXPIRE", key, "1")  # instead of waiting for 30 seconds
        until(lambda: proxy.get("/").status == 200)


def test_a_refusal_that_is_known_needs_no_redis(proxy: Proxy, redis: Redis) -> None:
    limited(proxy, f"redis://{redis.addr}", max=1, interval="1h", strategy="gcra")
    assert statuses(proxy, 2) == [200, 429]
    before = calls(redis)
    assert statuses(proxy, 5) == [429] * 5
    assert calls(redis) == before
    assert statuses(proxy, 1, client_ip="192.0.2.1") == [200]
    assert calls(redis) == before + 1


def calls(redis: Redis) -> int:
    for line in redis.ask("INFO", "commandstats").split(b"\r\n"):
        if line.startswith(b"cmdstat_evalsha:calls="):
            return int(line.split(b"=")[1].split(b",")[0])
    return 0


def test_redis_knows_no_secret(proxy: Proxy, redis: Redis) -> None:
    limited(proxy, f"redis://{redis.addr}", max=9, tag="header", key="x-api-key")
    assert statuses(proxy, 1, headers={"X-Api-Key": "hush-hush"}) == [200]
    keys = redis.ask("KEYS", "*")
    assert b"pingap:limit:slow:estimate:" in keys
    assert b"hush" not in keys


# Away.


@pytest.mark.parametrize(
    ("setting", "expected", "text"),
    [
        ("local", [200, 429, 429], "Plugin limit, exceed limit"),
        ("refuse", [503, 503, 503], "Plugin limit, storage unavailable"),
        ("allow", [200, 200, 200], "ok"),
    ],
)
def test_redis_that_is_away(
    proxy: Proxy, redis: Redis, setting: str, expected: list[int], text: str
) -> None:
    limited(proxy, f"redis://{redis.addr}", max=1, interval="1h", on_storage_failure=setting)
    redis.stop()
    assert statuses(proxy, 3) == expected
    answer = proxy.get("/")
    assert answer.text.startswith(text)
    assert proxy.log.count('limit "slow": its storage is away') == 1
    assert proxy.metrics().value("pingap_limit_storage_failures_total", plugin="slow") == 4
    redis.start()
    proxy.wait_for_log('limit "slow": its storage is back')
    assert statuses(proxy, 2) == [200, 429]


def test_redis_that_does_not_answer(proxy: Proxy, redis: Redis) -> None:
    limited(proxy, f"redis://{redis.addr}", max=9, interval="1h", storage_timeout="100ms")
    assert statuses(proxy, 1) == [200]
    redis.pause()
    try:
        assert statuses(proxy, 3) == [200, 200, 200]
        assert 'limit "slow": its storage is away (TimeoutError)' in proxy.log
    finally:
        redis.resume()
    proxy.wait_for_log('limit "slow": its storage is back')


def test_a_proxy_starts_without_redis(proxy: Proxy, tmp_path: Path) -> None:
    with redis_server(tmp_path / "gone") as gone:
        pass
    limited(proxy, f"redis://{gone.addr}", max=1, interval="1h")
    assert statuses(proxy, 2) == [200, 429]


def test_scripts_that_redis_has_forgotten(proxy: Proxy, redis: Redis) -> None:
    limited(proxy, f"redis://{redis.addr}", max=2, interval="1h")
    assert statuses(proxy, 1) == [200]
    redis.ask("SCRIPT", "FLUSH")
    assert statuses(proxy, 2) == [200, 429]
    assert "is away" not in proxy.log


def test_slots_are_given_back_after_redis_was_away(
    proxy: Proxy, redis: Redis, upstream: Upstream
) -> None:
    limited(proxy, f"redis://{redis.addr}", type="inflight", max=1)
    assert statuses(proxy, 2) == [200, 200]
    redis.stop()
    assert statuses(proxy, 2) == [200, 200]
    redis.start()
    proxy.wait_for_log('limit "slow": its storage is back')
    until(lambda: statuses(proxy, 2) == [200, 200])


# Other forms of Redis.


def test_a_password_is_never_shown(proxy: Proxy, tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis", "--requirepass", "hush hush") as redis:
        limited(proxy, f"redis://:hush%20hush@{redis.addr}/0", max=1, interval="1h")
        assert statuses(proxy, 2) == [200, 429]
        redis.ask("PING")
        redis.stop()
        assert statuses(proxy, 1, client_ip="192.0.2.1") == [200]
    assert "away" in proxy.log
    assert "hush" not in proxy.log


def test_a_wrong_password_means_away(proxy: Proxy, tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis", "--requirepass", "hush") as redis:
        limited(proxy, f"redis://:wrong@{redis.addr}", max=1, on_storage_failure="refuse")
        assert statuses(proxy, 2) == [503, 503]
    assert 'limit "slow": its storage is away (AuthenticationError)' in proxy.log


def test_a_socket(proxy: Proxy, tmp_path: Path) -> None:
    path = tmp_path / "r.sock"
    with redis_server(tmp_path / "redis", "--unixsocket", str(path)):
        limited(proxy, f"redis+unix://{path}", max=1, interval="1h")
        assert statuses(proxy, 2) == [200, 429]


def test_a_cluster(proxy: Proxy, tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster") as nodes:
        places = ",".join(node.addr for node in nodes)
        limited(proxy, f"redis+cluster://{places}", max=1, interval="1h")
        for number in range(8):  # some on each node
            client = f"192.0.2.{number}"
            assert statuses(proxy, 2, client_ip=client) == [200, 429]
        assert all(node.ask("DBSIZE") != b":0\r\n" for node in nodes)


def test_a_sentinel_leads_to_the_new_primary(proxy: Proxy, tmp_path: Path) -> None:
    with sentinels(tmp_path / "sentinel") as (primary, replica, sentinel):
        limited(
            proxy,
            f"redis+sentinel://{sentinel.addr}/shop",
            max=1,
            interval="1h",
            storage_timeout="2s",
            on_storage_failure="refuse",
        )
        assert statuses(proxy, 2) == [200, 429]
        until(lambda: replica.ask("DBSIZE") == b":1\r\n")
        primary.stop()
        until(lambda: proxy.get("/", client_ip="192.0.2.1").status == 200)
        assert proxy.get("/", client_ip="192.0.2.1").status == 429
        assert statuses(proxy, 1) == [429]  # the replica knew it
