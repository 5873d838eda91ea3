"""Redis behind TLS: alone, with sentinels, and as a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis_certificates import Files, issue
from redis_servers import Redis, cluster, needs_redis, redis_server, sentinels
from test_redis import limited, statuses

from pingap.testing import Proxy

pytestmark = [needs_redis, pytest.mark.timeout(120)]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return issue(tmp_path / "tls")


@pytest.fixture
def redis(tmp_path: Path, files: Files) -> Iterator[Redis]:
    with redis_server(tmp_path / "redis", tls=files) as server:
        yield server


def test_a_server(proxy: Proxy, redis: Redis, files: Files) -> None:
    storage = f"rediss://{redis.addr}/1?ssl_ca_certs={files.authority}"
    limited(proxy, storage, max=1, interval="1h", on_storage_failure="refuse")
    assert statuses(proxy, 2) == [200, 429]
    assert redis.ask("DBSIZE") == b":0\r\n"
    assert b"keys=1" in redis.ask("INFO", "keyspace")


def test_an_authority_that_is_not_trusted(proxy: Proxy, redis: Redis) -> None:
    limited(proxy, f"rediss://{redis.addr}", max=1, on_storage_failure="refuse")
    assert statuses(proxy, 2) == [503, 503]
    assert redis.ask("DBSIZE") == b":0\r\n"


@pytest.mark.parametrize(("checks", "status"), [("true", 503), ("false", 200)])
def test_a_certificate_for_another_host(
    proxy: Proxy, tmp_path: Path, checks: str, status: int
) -> None:
    files = issue(tmp_path / "tls", "192.0.2.1")
    with redis_server(tmp_path / "redis", tls=files) as redis:
        storage = f"rediss://{redis.addr}?ssl_ca_certs={files.authority}"
        storage += "&ssl_check_hostname=false" if checks == "false" else ""
        limited(proxy, storage, max=1, on_storage_failure="refuse")
        assert statuses(proxy, 1) == [status]


@pytest.mark.parametrize(("sent", "status"), [(True, 200), (False, 503)])
def test_a_server_that_asks_for_a_certificate(
    proxy: Proxy, tmp_path: Path, files: Files, sent: bool, status: int
) -> None:
    with redis_server(tmp_path / "redis", tls=replace(files, asks="yes")) as redis:
        storage = f"rediss://{redis.addr}?ssl_ca_certs={files.authority}"
        if sent:
            storage += f"&ssl_certfile={files.certificate}&ssl_keyfile={files.key}"
        limited(proxy, storage, max=1, on_storage_failure="refuse")
        assert statuses(proxy, 1) == [status]


def test_a_server_without_tls(proxy: Proxy, tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis") as redis:
        limited(proxy, f"rediss://{redis.addr}", max=1, on_storage_failure="refuse")
        assert statuses(proxy, 2) == [503, 503]


def test_a_client_without_tls(proxy: Proxy, redis: Redis) -> None:
    limited(proxy, f"redis://{redis.addr}", max=1, on_storage_failure="refuse")
    assert statuses(proxy, 2) == [503, 503]


def test_a_cluster(proxy: Proxy, tmp_path: Path, files: Files) -> None:
    with cluster(tmp_path / "cluster", files) as nodes:
        places = ",".join(node.addr for node in nodes)
        storage = f"rediss+cluster://{places}?ssl_ca_certs={files.authority}"
        limited(proxy, storage, max=1, interval="1h", on_storage_failure="refuse")
        for number in range(8):  # some on each node
            assert statuses(proxy, 2, client_ip=f"192.0.2.{number}") == [200, 429]
        assert all(node.ask("DBSIZE") != b":0\r\n" for node in nodes)


def test_sentinels(proxy: Proxy, tmp_path: Path, files: Files) -> None:
    with sentinels(tmp_path / "sentinel", tls=files) as (primary, _, sentinel):
        storage = f"rediss+sentinel://{sentinel.addr}/shop?ssl_ca_certs={files.authority}"
        limited(proxy, storage, max=1, interval="1h", on_storage_failure="refuse")
        assert statuses(proxy, 2) == [200, 429]
        assert primary.ask("DBSIZE") == b":1\r\n"
