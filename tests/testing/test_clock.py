"""``Clock``: what it moves and what it leaves."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest
from testing.samples import Age

from pingap.observability.timestamps import local_time
from pingap.testing import Clock, Proxy, Upstream

HOUR = 3600


def test_all_clocks_of_plugins_move(proxy: Proxy, clock: Clock) -> None:
    proxy.location(plugins=[Age])
    assert proxy.get("/").json()[0] < 60
    clock.advance(HOUR)
    wall, wall_ns, steady, steady_ns = proxy.get("/").json()
    for seconds in (wall, wall_ns / 1e9, steady, steady_ns / 1e9):
        assert HOUR <= seconds < HOUR + 60


def test_it_adds_up_and_is_put_back() -> None:
    before = time.monotonic()
    functions = time.time, time.time_ns, time.monotonic, time.monotonic_ns
    with Clock() as clock:
        clock.advance(HOUR)
        clock.advance(0.5)
        assert HOUR <= time.monotonic() - before < HOUR + 60
        moved = datetime.fromisoformat(local_time())
        assert (moved - datetime.now(UTC)).total_seconds() == pytest.approx(HOUR, abs=60)
    assert (time.time, time.time_ns, time.monotonic, time.monotonic_ns) == functions
    now = datetime.fromisoformat(local_time())
    assert (now - datetime.now(UTC)).total_seconds() == pytest.approx(0, abs=60)


def test_it_goes_forward_only(clock: Clock) -> None:
    with pytest.raises(ValueError, match="forward only"):
        clock.advance(-1)


def test_sleeps_stay_real(clock: Clock) -> None:
    woken = threading.Event()
    timer = threading.Timer(60, woken.set)
    timer.start()
    clock.advance(HOUR)
    assert not woken.wait(0.05)
    timer.cancel()
    timer.join()


def test_a_client_that_sends_no_head_is_told(proxy: Proxy, clock: Clock) -> None:
    with proxy.connect() as client:
        client.send(b"GET / HT")
        clock.advance(59)
        client.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.sock.recv(1)
        client.sock.settimeout(10)
        clock.advance(2)
        assert client.answer().status == 408


def test_an_idle_connection_is_closed(proxy: Proxy, clock: Clock) -> None:
    with proxy.connect() as client:
        assert client.get("/").status == 200
        clock.advance(76)
        assert client.is_closed()


def test_an_upstream_that_does_not_answer(proxy: Proxy, upstream: Upstream, clock: Clock) -> None:
    upstream.reply("/", until=threading.Event())
    proxy.configure("upstreams.upstream", read_timeout="30s")
    with proxy.connect() as client:
        client.send_request("GET", "/")
        upstream.wait_for_request()
        proxy.settle()
        clock.advance(31)
        assert client.answer().status == 504


def test_the_access_log_follows(proxy: Proxy, clock: Clock) -> None:
    proxy.configure("servers.web", access_log="{when_unix} {when_utc_iso}")
    clock.advance(HOUR)
    proxy.get("/")
    unix, utc = proxy.access_log[0].split(" ")
    ahead = time.time() - datetime.now(UTC).timestamp()
    assert int(unix) / 1000 == pytest.approx(time.time(), abs=60)
    assert datetime.fromisoformat(utc).timestamp() == pytest.approx(time.time(), abs=60)
    assert ahead == pytest.approx(HOUR, abs=60)
