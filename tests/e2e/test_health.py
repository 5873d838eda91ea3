"""Backends that are killed, frozen, slow or flapping, while a proxy checks them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.grpc_service import GrpcServer
from support.process import Process
from support.rig import configure
from support.waiting import until

from pingap.testing import Proxy, Received, Served, Upstream

BACKEND = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *arguments):
        pass
server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""
QUICK = "check_frequency=100ms&connection_timeout=300ms&read_timeout=300ms"


class Backend:
    """A server in a process of its own, which can be killed and frozen."""

    def __init__(self, port: int = 0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", BACKEND, str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.addr = f"127.0.0.1:{self.port}"

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Backend:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def checking(folder: Path, check: str, *addrs: str, upstream: str = "") -> Iterator[Proxy]:
    """Run a proxy whose upstream is checked like this; None for the default."""
    upstream += f'\nhealth_check = "{check}"'
    server = 'prometheus_metrics = "/metrics"'
    with Proxy(configure(*addrs, upstream=upstream, server=server)) as proxy:
        yield proxy


def status(proxy: Proxy) -> int:
    with proxy.connect() as client:
        return client.get("/").status


def flip(addr: str, state: str) -> str:
    return f"upstream origin({addr}) becomes {state}"


def metrics(proxy: Proxy) -> str:
    with proxy.connect() as client:
        return client.get("/metrics").body.decode()


@pytest.fixture
def refusing() -> Iterator[str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{sock.getsockname()[1]}"


def test_by_default_connections_are_tried_right_at_the_start(tmp_path: Path, refusing: str) -> None:
    with Upstream() as origin, checking(tmp_path, "", origin.addr, refusing) as proxy:
        proxy.wait_for_log(flip(refusing, "unhealthy: Connection refused"))
        assert [status(proxy) for _ in range(10)] == [200] * 10
        assert len(origin.requests) == 10


def test_nobody_is_checked_if_that_is_wanted(tmp_path: Path) -> None:
    with Upstream() as origin, checking(tmp_path, "none", origin.addr) as proxy:
        assert status(proxy) == 200
        assert origin.connections == 1
        assert "pingap_backend_healthy{" not in metrics(proxy)


def test_with_all_backends_down_the_answer_is_503_at_once(tmp_path: Path, refusing: str) -> None:
    with checking(tmp_path, f"tcp://x?{QUICK}", refusing) as proxy:
        proxy.wait_for_log("upstream_status: upstream origin has no healthy backend")
        began = time.monotonic()
        assert status(proxy) == 503
        assert time.monotonic() - began < 1


@pytest.mark.parametrize("scheme", ["tcp", "http"])
def test_a_backend_that_is_killed_and_started_again(tmp_path: Path, scheme: str) -> None:
    with Backend() as backend, checking(tmp_path, f"{scheme}://x?{QUICK}", backend.addr) as proxy:
        assert status(proxy) == 200
        backend.kill()
        proxy.wait_for_log(flip(backend.addr, "unhealthy"))
        assert status(proxy) == 503
        labels = f'backend="{backend.addr}",server="web"'
        page = metrics(proxy)
        assert f'pingap_backend_healthy{{{labels},upstream="origin"}} 0.0' in page
        assert f'pingap_backend_flips{{{labels},state="down",upstream="origin"}} 1.0' in page
        with Backend(backend.port):
            proxy.wait_for_log(flip(backend.addr, "healthy"))
            assert status(proxy) == 200
            page = metrics(proxy)
            assert f'pingap_backend_healthy{{{labels},upstream="origin"}} 1.0' in page
            assert f'pingap_backend_flips{{{labels},state="up",upstream="origin"}} 1.0' in page


@pytest.mark.parametrize("more", ["", "&reuse"])
def test_a_backend_that_is_frozen_gets_no_requests(tmp_path: Path, more: str) -> None:
    url = f"http://x/?{QUICK}{more}"
    with (
        Backend() as frozen,
        Backend() as other,
        checking(tmp_path, url, frozen.addr, other.addr) as proxy,
    ):
        assert status(proxy) == 200
        frozen.signal(signal.SIGSTOP)
        proxy.wait_for_log(flip(frozen.addr, "unhealthy: no answer within 0.3 s"))
        assert [status(proxy) for _ in range(6)] == [200] * 6
        frozen.signal(signal.SIGCONT)
        proxy.wait_for_log(flip(frozen.addr, "healthy"))
        assert flip(other.addr, "") not in proxy.log


def test_a_backend_that_flaps_is_left_alone_and_one_that_keeps_failing_is_not(
    tmp_path: Path,
) -> None:
    answers: list[int] = []
    always_bad = False

    def answer(served: Served, request: Received) -> None:
        bad = always_bad or len(answers) % 2 == 1
        answers.append(500 if bad else 200)
        served.respond(b"", answers[-1])

    with Upstream() as origin:
        origin.on("/health", answer)
        with checking(tmp_path, f"http://x/health?{QUICK}&failure=2", origin.addr) as proxy:
            until(lambda: len(answers) >= 6)
            assert "becomes" not in proxy.log
            always_bad = True
            proxy.wait_for_log(flip(origin.addr, "unhealthy: status 500"))
            assert status(proxy) == 503


def test_a_grpc_service_that_says_it_is_not_serving(tmp_path: Path) -> None:
    with GrpcServer() as server:
        health = server.service.health = {b"\x0a\x03a.B": b"\x08\x01"}
        url = f"grpc://x?service=a.B&{QUICK.replace('300ms', '3s')}"
        with checking(tmp_path, url, server.addr, upstream='alpn = "H2"') as proxy:
            until(lambda: server.service.metadata)
            health[b"\x0a\x03a.B"] = b"\x08\x02"
            proxy.wait_for_log(flip(server.addr, "unhealthy: the service is NOT_SERVING"))
            assert status(proxy) == 503
            health[b"\x0a\x03a.B"] = b"\x08\x01"
            proxy.wait_for_log(flip(server.addr, "healthy"))


def test_checks_do_not_hold_up_the_end(tmp_path: Path) -> None:
    with Backend() as frozen:
        frozen.signal(signal.SIGSTOP)
        url = "http://x?check_frequency=1s&read_timeout=1h&connection_timeout=1h&reuse"
        with checking(tmp_path, url, frozen.addr) as proxy:
            began = time.monotonic()
            proxy.stop()
            assert time.monotonic() - began < 5


def test_one_worker_checks_and_all_of_them_know(tmp_path: Path, refusing: str) -> None:
    asked: list[int] = []

    def answer(served: Served, request: Received) -> None:
        asked.append(served.number)
        served.respond()

    with Upstream() as origin:
        origin.on("/health", answer)
        toml = configure(
            origin.addr,
            refusing,
            basic="threads = 4",
            server='prometheus_metrics = "/metrics"',
            upstream='health_check = "http://x/health?check_frequency=1h&failure=1"',
        )
        with Process(toml, tmp_path) as proxy:
            log = proxy.wait_for_log(flip(refusing, "unhealthy"))
            assert [status(proxy) for _ in range(24)] == [200] * 24
            assert log.count("becomes unhealthy") == proxy.log.count("becomes unhealthy") == 1
            assert "cannot be reached" not in proxy.log
            labels = f'backend="{refusing}",server="web"'
            for _ in range(8):  # whichever worker answers
                page = metrics(proxy)
                assert f'pingap_backend_healthy{{{labels},upstream="origin"}} 0.0' in page
                assert (
                    f'pingap_backend_flips{{{labels},state="down",upstream="origin"}} 1.0' in page
                )
        assert len(asked) == 1


def test_one_worker_goes_on_with_the_checks_of_one_that_ends(tmp_path: Path) -> None:
    checks: list[int] = []
    asked, go = threading.Event(), threading.Event()

    def check(served: Served, request: Received) -> None:
        checks.append(1)
        served.respond()

    def hold(served: Served, request: Received) -> None:
        asked.set()
        go.wait(10)
        served.respond()

    with Upstream() as origin:
        origin.on("/health", check)
        origin.on("/hold", hold)
        toml = configure(
            origin.addr,
            basic="threads = 2",
            server='prometheus_metrics = "/metrics"',
            upstream='health_check = "http://x/health?check_frequency=1h"',
        )
        with Process(toml, tmp_path) as proxy:
            until(lambda: len(checks) == 1)  # each worker that begins with it checks at once
            leader, other = proxy.workers
            os.kill(leader, signal.SIGKILL)
            until(lambda: len(checks) == 2)
            until(lambda: len(proxy.workers) == 2)
            with proxy.connect() as client:
                client.send(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
                assert asked.wait(10)
                os.kill(other, signal.SIGTERM)
                until(lambda: len(checks) == 3)
                assert "} 1.0" in next(
                    line
                    for line in metrics(proxy).splitlines()
                    if line.startswith("pingap_backend_healthy{")
                )
                go.set()
                assert client.answer().status == 200
        assert len(checks) == 3


def test_an_ejection_counts_for_all_workers(tmp_path: Path) -> None:
    (good, _), (bad, asked_bad) = counted(b"ok", 200), counted(b"", 503)
    keys = 'passive_failures = 1\nhealth_check = "none"'
    toml = configure(good.addr, bad.addr, basic="threads = 4", upstream=keys)
    with good, bad, Process(toml, tmp_path) as proxy:
        while not asked_bad:
            status(proxy)
        proxy.wait_for_log("is ejected for 30s")
        # (It takes a moment until each of the workers knows, and until then one may ask, too.)
        until(lambda: [status(proxy) for _ in range(24)] == [200] * 24)
        asked = len(asked_bad)
        assert [status(proxy) for _ in range(24)] == [200] * 24
        for worker in proxy.workers:  # those that take their places know from the start
            os.kill(worker, signal.SIGKILL)
        assert [status(proxy) for _ in range(24)] == [200] * 24
        assert len(asked_bad) == asked


# By the requests themselves.


def counted(body: bytes, status: int) -> tuple[Upstream, list[int]]:
    origin, asked = Upstream(), []

    def answer(served: Served, request: Received) -> None:
        asked.append(1)
        served.respond(body, status)

    origin.default = answer
    return origin, asked


def test_a_backend_that_keeps_failing_is_ejected_for_a_while(tmp_path: Path) -> None:
    (good, asked_good), (bad, asked_bad) = counted(b"ok", 200), counted(b"", 503)
    keys = 'passive_failures = 3\npassive_ejection_time = "500ms"'
    with good, bad, checking(tmp_path, "none", good.addr, bad.addr, upstream=keys) as proxy:
        statuses = [status(proxy) for _ in range(6)]
        assert sorted(statuses) == [200] * 3 + [503] * 3
        assert [status(proxy) for _ in range(6)] == [200] * 6
        assert (len(asked_good), len(asked_bad)) == (9, 3)
        text = f"upstream origin({bad.addr}) is ejected for 500ms: 3 failures in a row, the last"
        proxy.wait_for_log(f"{text} one: status 503")
        assert f'pingap_backend_ejections{{backend="{bad.addr}",server="web"' in metrics(proxy)
        proxy.wait_for_log(f"upstream origin({bad.addr}) gets requests again")
        status(proxy), status(proxy)
        assert len(asked_bad) == 4


def test_a_backend_that_refuses_connections_is_ejected(tmp_path: Path, refusing: str) -> None:
    with (
        Upstream() as origin,
        checking(tmp_path, "none", origin.addr, refusing, upstream="passive_failures = 1") as proxy,
    ):
        statuses = [status(proxy) for _ in range(10)]
        assert sorted(statuses) == [200] * 9 + [502]


def test_a_backend_that_is_frozen_is_ejected(tmp_path: Path) -> None:
    keys = 'passive_failures = 1\nread_timeout = "300ms"'
    with (
        Backend() as frozen,
        Backend() as other,
        checking(tmp_path, "none", frozen.addr, other.addr, upstream=keys) as proxy,
    ):
        os.kill(frozen.process.pid, signal.SIGSTOP)
        statuses = [status(proxy) for _ in range(6)]
        assert sorted(statuses) == [200] * 5 + [504]


def test_the_only_backend_is_never_ejected(tmp_path: Path) -> None:
    origin, asked = counted(b"", 503)
    keys = "passive_failures = 1\npassive_max_ejected_percent = 100"
    with origin, checking(tmp_path, "none", origin.addr, upstream=keys) as proxy:
        assert [status(proxy) for _ in range(5)] == [503] * 5
        assert len(asked) == 5
