"""Circuit breakers in front of real backends, and the statistics of those."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Event

from support.origin import echo
from support.process import Process
from support.rig import configure, read_to_end
from support.waiting import until

from pingap.testing import Client, Proxy, Served, Upstream

BREAKER = "circuit_break_max_consecutive_failures = 2\n"


class Backend:
    """What a scripted origin does, changed while it runs."""

    def __init__(self) -> None:
        self.status = 503
        self.waits: Event | None = None

    def script(self, served: Served) -> None:
        while served.read_request() is not None:
            if self.waits is not None:
                self.waits.wait(10)
            served.respond(b"", status=self.status)


class Setting:
    def __init__(self, proxy: Proxy, origin: Upstream, other: Upstream, backend: Backend) -> None:
        self.proxy, self.origin, self.other, self.backend = proxy, origin, other, backend

    def statuses(self, count: int) -> list[int]:
        with self.proxy.connect() as client:
            return [client.get("/").status for _ in range(count)]

    def metric(self, name: str, addr: str) -> float:
        with self.proxy.connect() as client:
            page = client.get("/metrics").body.decode()
        labels = f'backend="{addr}",server="web",upstream="origin"'
        for line in page.splitlines():
            words, _, value = line.rpartition(" ")
            if words.startswith(f"{name}{{") and all(one in words for one in labels.split(",")):
                return float(value)
        raise AssertionError(f"{name} of {addr} is not on the page:\n{page}")

    @property
    def state(self) -> float:
        return self.metric("pingap_upstream_backend_circuit_state", self.origin.addr)


@contextmanager
def setting(upstream: str, location: str = "", processes: Path | None = None) -> Iterator[Setting]:
    """Run a failing backend, a good one, and a proxy.

    :param processes: a folder: two workers run, in processes of their own.
    """
    backend = Backend()
    with (
        Upstream(backend.script) as origin,
        Upstream(echo) as other,
        ExitStack() as stack,
    ):
        toml = configure(
            origin.addr,
            other.addr,
            upstream=upstream,
            location=location,
            basic="threads = 2" if processes else "",
            server='prometheus_metrics = "/metrics"',
        )
        proxy = stack.enter_context(Process(toml, processes) if processes else Proxy(toml))
        yield Setting(proxy, origin, other, backend)


def test_a_failing_backend_gets_no_requests() -> None:
    with setting(BREAKER + 'circuit_break_open_duration = "1h"') as one:
        assert sorted(one.statuses(4)) == [200, 200, 503, 503]
        assert one.state == 1
        before = len(one.origin.requests)
        assert one.statuses(10) == [200] * 10
        assert len(one.origin.requests) == before


def test_a_backend_that_answers_again_gets_requests_again() -> None:
    upstream = BREAKER + (
        'circuit_break_open_duration = "300ms"\n'
        "circuit_break_half_open_consecutive_success_threshold = 2"
    )
    with setting(upstream) as one:
        one.statuses(4)
        until(lambda: one.state == 2)
        assert 503 in one.statuses(2)  # a probe, that fails
        one.backend.status = 200
        until(lambda: one.state == 2)
        assert one.statuses(4) == [200] * 4
        assert one.state == 0
        log = one.proxy.wait_for_log("closes")
        name = f"circuit breaker of origin({one.origin.addr})"
        assert f"{name} opens for 0.3 s: 2 failures in a row" in log
        assert f"{name} opens for 0.3 s: a probe failed" in log
        assert f"{name} is half-open" in log
        assert one.metric("pingap_backend_circuit_opened", one.origin.addr) >= 2


def test_a_percentage_of_failures_counts_and_a_single_failure_does_not() -> None:
    upstream = (
        "circuit_break_max_failure_percent = 50\ncircuit_break_min_requests_threshold = 4\n"
        'circuit_break_open_duration = "1h"'
    )
    with setting(upstream) as one:
        assert one.statuses(6).count(503) == 3
        assert one.state == 0
        one.statuses(2)
        assert one.state == 1


def test_a_listed_status_alone_is_a_failure() -> None:
    upstream = BREAKER + 'backend_failure_status_code = "429, 500"'
    with setting(upstream) as one:
        assert one.statuses(10).count(503) == 5
        one.backend.status = 429
        one.statuses(4)
        assert one.state == 1


def test_connections_that_cannot_be_made_are_failures() -> None:
    upstream = BREAKER + 'circuit_break_open_duration = "1h"'
    with setting(upstream, "max_retries = 1") as one:
        addr = one.origin.addr
        one.origin.__exit__(None, None, None)
        assert one.statuses(10) == [200] * 10
        assert one.state == 1
        log = one.proxy.wait_for_log("opens for 3600.0 s: 2 failures in a row")
        assert log.count(f"origin({addr}) cannot be reached") == 2


def test_probes_are_bounded_and_those_that_vanish_are_returned() -> None:
    upstream = BREAKER + (
        'circuit_break_open_duration = "300ms"\n'
        "circuit_break_half_open_consecutive_success_threshold = 1"
    )
    with setting(upstream) as one, ExitStack() as stack:
        one.statuses(4)
        one.backend.status, one.backend.waits = 200, Event()
        until(lambda: one.state == 2)
        one.origin.requests.clear()
        probe = _asking(one, stack)
        line = 'pingap_upstream_connections_current{server="web",upstream="origin"} 1.0'
        assert line in stack.enter_context(one.proxy.connect()).get("/metrics").body.decode()
        assert one.statuses(10) == [200] * 10  # none of them goes there
        assert len(one.origin.requests) == 1
        probe.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        probe.sock.close()  # by a RST, which nobody can take for a client that still waits
        second = _asking(one, stack)  # so the place was given back
        one.backend.waits.set()
        assert second.answer().status == 200
        assert one.state == 0


def _asking(one: Setting, stack: ExitStack) -> Client:
    """Return a client whose request waits at the backend that has a breaker."""
    before = len(one.origin.requests)
    for _ in range(50):
        client = stack.enter_context(one.proxy.connect())
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        until(partial(_is_settled, one, before, client))
        if len(one.origin.requests) > before:
            return client
    raise AssertionError("no request went there")


def _is_settled(one: Setting, before: int, client: Client) -> bool:
    """Tell whether the backend was asked, or the client has its answer from the other one."""
    return len(one.origin.requests) > before or bool(select.select([client.sock], [], [], 0)[0])


def test_without_a_backend_left_the_answer_is_503() -> None:
    backend = Backend()
    upstream = BREAKER + 'circuit_break_open_duration = "1h"'
    with (
        Upstream(backend.script) as origin,
        Proxy(configure(origin.addr, upstream=upstream)) as proxy,
        proxy.connect() as client,
    ):
        assert [client.get("/").status for _ in range(4)] == [503] * 4
        assert len(origin.requests) == 2


def test_what_one_worker_finds_all_workers_know(tmp_path: Path) -> None:
    upstream = BREAKER + 'circuit_break_open_duration = "1h"'
    with setting(upstream, processes=tmp_path) as one:
        until(lambda: [one.statuses(1) for _ in range(20)] == [[200]] * 20)
        assert one.proxy.wait_for_log(" opens for ").count(" opens for ") == 1
        before = len(one.origin.requests)
        assert [one.statuses(1) for _ in range(20)] == [[200]] * 20
        assert len(one.origin.requests) == before
        assert one.metric("pingap_backend_circuit_opened", one.origin.addr) == 1
        assert one.state == 1


# Statistics.


def test_backends_are_counted() -> None:
    with setting('enable_backend_stats = true\nread_timeout = "10s"') as one:
        assert one.statuses(8).count(503) == 4
        for addr, failures in ((one.origin.addr, 4), (one.other.addr, 0)):
            assert one.metric("pingap_backend_requests", addr) == 4
            assert one.metric("pingap_backend_failures", addr) == failures
            assert one.metric("pingap_upstream_backend_requests", addr) == 4
            assert one.metric("pingap_upstream_backend_failure_rate", addr) == failures * 25
            assert one.metric("pingap_backend_latency_count", addr) == 4
            assert 0 < one.metric("pingap_backend_latency_sum", addr) < 20


def test_open_connections_are_counted() -> None:
    done = Event()

    def script(served: Served) -> None:
        served.read_request()
        served.respond(b"")
        done.wait(10)
        served.sock.close()

    server = 'prometheus_metrics = "/metrics"\naccess_log = "{path} of {:upstream_connected}"'
    with (
        Upstream(script) as origin,
        Proxy(configure(origin.addr, server=server, upstream="enable_tracer = true")) as proxy,
        proxy.connect() as client,
    ):
        line = 'pingap_upstream_connections{server="web",upstream="origin"} '
        client.get("/first")
        assert f"{line}1.0" in client.get("/metrics").body.decode()
        proxy.wait_for_log("/first of 1")
        done.set()
        until(lambda: f"{line}0.0" in client.get("/metrics").body.decode())


def test_a_frozen_backend_is_passed_over_once_its_breaker_is_open() -> None:
    def frozen(served: Served) -> None:
        served.read_request()
        read_to_end(served)

    # (The limit holds for the backend that answers, too.)
    upstream = BREAKER + 'read_timeout = "1s"\ncircuit_break_open_duration = "1h"'
    location = 'max_retries = 1\nretry_on = ["timeout"]'
    with (
        Upstream(frozen) as bad,
        Upstream(echo) as good,
        Proxy(configure(bad.addr, good.addr, upstream=upstream, location=location)) as proxy,
        proxy.connect() as client,
    ):
        assert [client.get("/").status for _ in range(10)] == [200] * 10
        assert len(bad.requests) == 2
