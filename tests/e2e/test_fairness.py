"""One connection that has a lot of work for the proxy does not keep the others waiting.

The margins are wide, since tests share a busy machine; ``contrib/bench/fairness.py`` has the figures.
Before there was a backlog, each of these attacks kept a polite client waiting for more than a second.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from support import h2
from support.certificates import issue
from support.hostile import (
    ATTACKS,
    CHUNKED,
    GET,
    H2_START,
    LOCATIONS,
    PATTERN,
    ask_for_keys,
    ask_origin,
    hostile_origin,
    key_updates,
    polite,
    send,
    under,
)
from support.process import Process
from support.tls import TlsClient, client_context

from pingap.testing import Client, Upstream

REQUESTS = 30
USUAL, LONGEST = 0.2, 1.0
"""Seconds that most and nearly all requests of a polite client may take."""

CONFIGURATION = (
    LOCATIONS
    + """
[servers.plain]
addr = "127.0.0.1:0"
locations = ["small", "up"]
enabled_h2 = true
keepalive_requests = 100000000
[servers.web]
addr = "127.0.0.1:0"
locations = ["small", "up"]
enabled_h2 = true
keepalive_requests = 100000000
global_certificates = true
"""
)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("fair")
    with Upstream(hostile_origin) as origin:
        tables = issue("localhost").toml("leaf", "is_default = true")
        with Process(CONFIGURATION.replace("{origin}", origin.addr) + tables, folder) as proxy:
            yield proxy
            assert " ERROR " not in proxy.log


def connect(proxy: Process, *, tls: bool) -> Client:
    if tls:
        return TlsClient(proxy, client_context(), "localhost")
    return proxy.connect("plain")


@contextmanager
def nobody_waits(proxy: Process) -> Iterator[None]:
    """Expect that a polite client is served while the block is entered."""
    yield
    took = polite(("127.0.0.1", proxy.port("plain")), REQUESTS, seconds=20)
    assert took[len(took) // 2] < USUAL, took
    assert took[len(took) * 9 // 10] < LONGEST, took


@pytest.mark.parametrize("name", ATTACKS)
def test_a_client_that_sends_too_much_at_once(proxy: Process, name: str) -> None:
    attack = ATTACKS[name]
    address = ("127.0.0.1", proxy.port("web" if attack.tls else "plain"))
    with under(partial(send, address, attack)), nobody_waits(proxy):
        pass


def test_a_client_that_asks_for_new_keys_again_and_again(proxy: Process) -> None:
    with under(partial(key_updates, ("127.0.0.1", proxy.port("web")))), nobody_waits(proxy):
        pass


def test_records_without_data_end_the_connection(proxy: Process) -> None:
    stop = threading.Event()
    timer = threading.Timer(20, stop.set)
    timer.start()
    with (
        socket.create_connection(("127.0.0.1", proxy.port("web")), 5) as sock,
        pytest.raises((ConnectionResetError, BrokenPipeError)),
    ):
        ask_for_keys(sock, stop)
    timer.cancel()


@pytest.mark.parametrize("path", ["/chunks", "/interim"])
def test_an_upstream_that_sends_too_much_at_once(proxy: Process, path: str) -> None:
    address = ("127.0.0.1", proxy.port("plain"))
    with under(partial(ask_origin, path, address)), nobody_waits(proxy):
        pass


# What is left over is served all the same, in its order.


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_every_pipelined_request_is_answered_in_order(proxy: Process, tls: bool) -> None:
    hosts = random.Random(7).choices(["h", "no"], k=6000)
    wire = "".join(f"GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n" for host in hosts).encode()
    with connect(proxy, tls=tls) as client:
        sender = threading.Thread(target=client.send, args=(wire,))
        if tls:  # (one thread at a time may use a connection of TLS)
            client.send(wire[: len(wire) // 2])
            client.send(wire[len(wire) // 2 :])
        else:
            sender.start()
        assert [client.answer().status for _ in hosts] == [
            200 if host == "h" else 404 for host in hosts
        ]
        if not tls:
            sender.join()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_bodies_in_tiny_chunks_arrive_whole(proxy: Process, tls: bool) -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in PATTERN) + b"0\r\n\r\n"
    head = b"POST /echo HTTP/1.1\r\nHost: up\r\n" + CHUNKED
    with connect(proxy, tls=tls) as client:
        for _ in range(2):
            client.send(head + chunks + b"GET /once HTTP/1.1\r\nHost: up\r\n\r\n")
            assert client.answer().body == PATTERN
            for _ in range(200):
                assert client.read_interim().status == 102
            assert client.answer().body == PATTERN


def test_every_request_of_one_write_over_http2_is_answered(proxy: Process) -> None:
    number = 3000
    frames = b"".join(
        h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 2 * at + 1, GET)
        for at in range(number)
    )
    with socket.create_connection(("127.0.0.1", proxy.port("plain")), 10) as sock:
        sender = threading.Thread(target=sock.sendall, args=(H2_START + frames,))
        sender.start()
        unread, ended = b"", set[int]()
        while len(ended) < number:
            unread += sock.recv(65536)
            while len(unread) >= 9 and len(unread) >= (size := 9 + int.from_bytes(unread[:3])):
                kind, flags, stream = struct.unpack(">BBI", unread[3:9])
                assert kind not in (h2.RST_STREAM, h2.GOAWAY)
                if kind in (h2.DATA, h2.HEADERS) and flags & h2.END_STREAM:
                    ended.add(stream)
                unread = unread[size:]
        sender.join()
