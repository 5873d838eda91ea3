"""Attempts to pass a limit in Redis, or to block others: clients that leave, servers that fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from limit_processes import until
from redis_servers import Redis, cluster, needs_redis, redis_server, sentinels
from test_redis import limited, statuses

from pingap.testing import Proxy, Upstream

pytestmark = [needs_redis, pytest.mark.timeout(120)]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    with redis_server(tmp_path / "redis") as server:
        yield server


def all_slots_become_free(redis: Redis) -> None:
    """Wait for less than a lease, after which they are free in any case."""
    until(lambda: redis.ask("DBSIZE") == b":0\r\n", seconds=15)


# Slots.


def test_a_client_that_leaves_while_redis_decides(
    proxy: Proxy, redis: Redis, upstream: Upstream
) -> None:
    proxy.configure("servers.web", access_log="{status}")
    limited(proxy, f"redis://{redis.addr}", type="inflight", max=1)
    assert statuses(proxy, 1) == [200]
    all_slots_become_free(redis)
    redis.pause()
    try:
        with proxy.connect() as client:
            client.send_request("GET", "/")
            proxy.settle()
        proxy.wait_for_access_log(2)
    finally:
        redis.resume()
    all_slots_become_free(redis)
    assert len(upstream.requests) == 1
    assert "is away" not in proxy.log


def test_a_decision_that_came_too_late(proxy: Proxy, redis: Redis) -> None:
    limited(proxy, f"redis://{redis.addr}", type="inflight", max=1, storage_timeout="100ms")
    assert statuses(proxy, 1) == [200]
    all_slots_become_free(redis)
    redis.pause()
    try:
        assert statuses(proxy, 1) == [200]
    finally:
        redis.resume()
    proxy.wait_for_log('limit "slow": its storage is back')
    all_slots_become_free(redis)


def test_a_slot_that_is_released_while_redis_is_away(
    proxy: Proxy, redis: Redis, upstream: Upstream
) -> None:
    """A short failure must not take places away for half a minute."""
    go = threading.Event()
    upstream.reply("/slow", b"late", until=go)
    limited(proxy, f"redis://{redis.addr}", type="inflight", max=1, storage_timeout="100ms")
    with proxy.connect() as client:
        client.send_request("GET", "/slow")
        upstream.wait_for_request()
        redis.pause()
        try:
            assert statuses(proxy, 1) == [200]  # by the limit of this machine
            go.set()
            assert client.answer().status == 200
            proxy.settle()
        finally:
            redis.resume()
    proxy.wait_for_log('limit "slow": its storage is back')
    all_slots_become_free(redis)


# Failures of other kinds.


def test_a_cluster_that_is_away(proxy: Proxy, tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster") as nodes:
        places = ",".join(node.addr for node in nodes)
        limited(proxy, f"redis+cluster://{places}", max=1, interval="1h", storage_timeout="2s")
        assert statuses(proxy, 2, client_ip="192.0.2.1") == [200, 429]
        for node in nodes:
            node.stop()
        for number in range(2, 10):  # some on each node
            assert statuses(proxy, 2, client_ip=f"192.0.2.{number}") == [200, 429]


def test_a_cluster_that_was_never_there(proxy: Proxy, tmp_path: Path) -> None:
    with redis_server(tmp_path / "gone") as gone:
        pass
    limited(proxy, f"redis+cluster://{gone.addr}", max=1, interval="1h", storage_timeout="2s")
    assert statuses(proxy, 2) == [200, 429]


def test_a_server_that_is_no_cluster(proxy: Proxy, redis: Redis) -> None:
    limited(proxy, f"redis+cluster://{redis.addr}", max=1, interval="1h")
    assert statuses(proxy, 2) == [200, 429]


def test_a_sentinel_that_does_not_answer(proxy: Proxy, tmp_path: Path) -> None:
    """It was the first of the list: the others are asked."""
    with (
        redis_server(tmp_path / "mute") as mute,
        sentinels(tmp_path / "sentinel") as (primary, _, sentinel),
    ):
        mute.pause()
        storage = f"redis+sentinel://{mute.addr},{sentinel.addr}/shop"
        limited(proxy, storage, max=5, interval="1h", storage_timeout="250ms")
        statuses(proxy, 1)
        until(lambda: statuses(proxy, 1) and primary.ask("DBSIZE") == b":1\r\n")


def test_a_node_that_does_not_answer(proxy: Proxy, tmp_path: Path) -> None:
    with redis_server(tmp_path / "mute") as mute, cluster(tmp_path / "cluster") as nodes:
        mute.pause()
        places = ",".join(node.addr for node in (mute, *nodes))
        limited(proxy, f"redis+cluster://{places}", max=5, interval="1h", storage_timeout="250ms")
        statuses(proxy, 1)
        until(lambda: statuses(proxy, 1) and any(one.ask("DBSIZE") != b":0\r\n" for one in nodes))


@pytest.mark.parametrize("of_sentinel", ["", "other/one"])
def test_passwords_behind_sentinels(proxy: Proxy, tmp_path: Path, of_sentinel: str) -> None:
    folder = tmp_path / "sentinel"
    with sentinels(folder, password="hush/hush", of_sentinel=of_sentinel) as (_, _, sentinel):
        storage = f"redis+sentinel://:hush%2Fhush@{sentinel.addr}/shop"
        if of_sentinel:
            storage += "?sentinel_password=other%2Fone"
        limited(proxy, storage, max=1, interval="1h", on_storage_failure="refuse")
        assert statuses(proxy, 2) == [200, 429]
