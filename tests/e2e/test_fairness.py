"""One connection that has a lot of work for the proxy does not keep the others waiting.

The margins are wide, since tests share a busy machine; ``contrib/bench/fairness.py`` has the figures.
Before there was a backlog, each of these attacks kept a polite client waiting for more than a second.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from support.certificates import issue
from support.hostile import (
    ATTACKS,
    Attack,
    ask_for_keys,
    hostile_origin,
    key_updates,
    polite,
    send,
    under,
)
from support.origin import Origin
from support.proxy import Proxy

REQUESTS = 30
USUAL, LONGEST = 0.2, 1.0
"""Seconds that most and nearly all requests of a polite client may take."""

CONFIGURATION = """
[plugins.small]
category = "mock"
data = "ok"
[upstreams.origin]
addrs = ["{origin}"]
health_check = "none"
[locations.small]
host = "h"
plugins = ["small"]
[locations.up]
host = "up"
upstream = "origin"
[servers.plain]
addr = "127.0.0.1:0"
locations = ["small", "up"]
enabled_h2 = true
keepalive_requests = 100000000
[servers.secure]
addr = "127.0.0.1:0"
locations = ["small", "up"]
enabled_h2 = true
keepalive_requests = 100000000
global_certificates = true
"""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("fair")
    with Origin(hostile_origin) as origin:
        tables = issue("localhost").toml("leaf", "is_default = true")
        with Proxy(CONFIGURATION.replace("{origin}", origin.addr) + tables, folder) as proxy:
            yield proxy
            assert " ERROR " not in proxy.log


@contextmanager
def nobody_waits(proxy: Proxy) -> Iterator[None]:
    """Expect that a polite client is served while the block is entered."""
    yield
    took = polite(("127.0.0.1", proxy.port("plain")), REQUESTS, seconds=20)
    assert took[len(took) // 2] < USUAL, took
    assert took[len(took) * 9 // 10] < LONGEST, took


@pytest.mark.parametrize("name", ATTACKS)
def test_a_client_that_sends_too_much_at_once(proxy: Proxy, name: str) -> None:
    attack = ATTACKS[name]
    address = ("127.0.0.1", proxy.port("secure" if attack.tls else "plain"))
    with under(partial(send, address, attack)), nobody_waits(proxy):
        pass


def test_a_client_that_asks_for_new_keys_again_and_again(proxy: Proxy) -> None:
    with under(partial(key_updates, ("127.0.0.1", proxy.port("secure")))), nobody_waits(proxy):
        pass


def test_records_without_data_end_the_connection(proxy: Proxy) -> None:
    stop = threading.Event()
    timer = threading.Timer(20, stop.set)
    timer.start()
    with (
        socket.create_connection(("127.0.0.1", proxy.port("secure")), 5) as sock,
        pytest.raises((ConnectionResetError, BrokenPipeError)),
    ):
        ask_for_keys(sock, stop)
    timer.cancel()


@pytest.mark.parametrize("path", ["/chunks", "/interim"])
def test_an_upstream_that_sends_too_much_at_once(proxy: Proxy, path: str) -> None:
    def ask(stop: threading.Event) -> None:
        def parts() -> Iterator[bytes]:
            while not stop.wait(0.05):
                yield b""

        head = f"GET {path} HTTP/1.1\r\nHost: up\r\n\r\n".encode()
        send(("127.0.0.1", proxy.port("plain")), Attack(head * 50, parts), stop)

    with under(ask), nobody_waits(proxy):
        pass
