"""Circuit breakers of several workers: what they count, and the probes, are those of all of them."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event

import pytest
from support.process import Process
from support.rig import configure
from support.waiting import until

from pingap.testing import Client, Served, Upstream

WHO_AM_I = """
import os
from pingap import Plugin, PluginSettings, Response, hookimpl

class WhoAmI(Plugin):
    class Settings(PluginSettings):
        pass
    def __init__(self, settings: Settings) -> None:
        pass
    @hookimpl
    def request(self):
        return Response(200, str(os.getpid()).encode())
"""
MORE = """
[plugins.whoami]
category = "python"
path = "whoami.py"
[locations.whoami]
path = "=/whoami"
plugins = ["whoami"]
"""


class Setting:
    """A proxy with some workers, a client of each of them, and a backend."""

    def __init__(self, folder: Path, upstream: str, threads: int, stack: ExitStack) -> None:
        self.status = 503
        self.waits: Event | None = None
        self._stack = stack
        self.origin = stack.enter_context(Upstream(self._serve))
        (folder / "whoami.py").write_text(WHO_AM_I)
        toml = configure(
            self.origin.addr,
            upstream=upstream,
            basic=f"threads = {threads}",
            locations='"whoami", ',
            more=MORE,
        )
        self.proxy = stack.enter_context(Process(toml, folder))

    def _serve(self, served: Served) -> None:
        while served.read_request() is not None:
            if self.waits is not None:
                self.waits.wait(10)
            served.respond(b"", status=self.status)

    def hold(self) -> None:
        """Let requests wait at the backend from now on."""
        self.waits = Event()
        self._stack.callback(self.waits.set)

    def let_go(self) -> None:
        """Answer them all."""
        assert self.waits is not None
        self.waits.set()

    def clients(self, count: int = 1) -> list[Client]:
        """Return so many clients of each worker, each with a connection that it keeps."""
        found: dict[int, list[Client]] = {worker: [] for worker in self.proxy.workers}
        while any(len(clients) < count for clients in found.values()):
            client = self._stack.enter_context(self.proxy.connect())
            found[int(client.get("/whoami").body)].append(client)
        return [client for clients in found.values() for client in clients[:count]]

    def refused_of(self, clients: list[Client], *, held: int) -> list[Client]:
        """Let clients ask at the same time; return those that are told that there is no backend.

        :param held: requests at the backend before. Others that get there stay as well.
        """
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        in_all = held + len(clients)
        until(lambda: len(self.origin.requests) + len(_answered(clients)) == in_all)
        refused = _answered(clients)
        assert {client.answer().status for client in refused} <= {503}
        return refused


def _answered(clients: list[Client]) -> list[Client]:
    ready = select.select([client.sock for client in clients], [], [], 0)[0]
    return [client for client in clients if client.sock in ready]


@contextmanager
def setting(folder: Path, upstream: str, threads: int = 2) -> Iterator[Setting]:
    with ExitStack() as stack:
        yield Setting(folder, upstream, threads, stack)


def test_failures_in_a_row_are_those_of_all_workers(tmp_path: Path) -> None:
    upstream = 'circuit_break_max_consecutive_failures = 4\ncircuit_break_open_duration = "1h"'
    with setting(tmp_path, upstream) as one:
        first, second = one.clients()
        for client in (first, second, first):
            client.get("/")
        one.status = 200
        assert second.get("/").status == 200  # which ends the row
        one.status = 503
        for client in (first, second, first, second):
            assert client.get("/").status == 503
        for client in (first, second):  # one of them is told of it, which takes a moment
            until(lambda client=client: client.get("/").header("retry-after") == "5")
        log = one.proxy.wait_for_log(" opens for ")
        assert log.count(" opens for 3600.0 s: 4 failures in a row") == 1


def test_a_percentage_is_that_of_all_workers(tmp_path: Path) -> None:
    upstream = (
        "circuit_break_max_failure_percent = 50\ncircuit_break_min_requests_threshold = 8\n"
        'circuit_break_open_duration = "1h"'
    )
    with setting(tmp_path, upstream) as one:
        first, second = one.clients()
        one.status = 200
        for client in (first, second, first, second):
            client.get("/")
        one.status = 503
        for client in (first, second, first, second):
            client.get("/")
        one.proxy.wait_for_log(" opens for 3600.0 s: 4 failures of 8 requests")
        for client in (first, second):  # one of them is told of it, which takes a moment
            until(lambda client=client: client.get("/").header("retry-after") == "5")


HALF_OPEN = (
    "circuit_break_max_consecutive_failures = 2\n"
    'circuit_break_open_duration = "200ms"\n'
    "circuit_break_half_open_consecutive_success_threshold = {}"
)


def test_probes_are_bounded_over_all_workers(tmp_path: Path) -> None:
    with setting(tmp_path, HALF_OPEN.format(2)) as one:
        clients = one.clients(4)
        clients[0].get("/"), clients[-1].get("/")
        one.status = 200
        one.hold()
        one.proxy.wait_for_log("is half-open")
        one.origin.requests.clear()
        refused = clients
        while len(one.origin.requests) < 2:
            refused = one.refused_of(refused, held=len(clients) - len(refused))
        refused = one.refused_of(refused, held=2)
        assert len(refused) == 6
        one.let_go()
        probes = [client for client in clients if client not in refused]
        assert [client.answer().status for client in probes] == [200, 200]
        assert one.proxy.wait_for_log(" closes").count(" closes") == 1


def test_probes_of_a_worker_that_is_killed_are_given_back(tmp_path: Path) -> None:
    with setting(tmp_path, HALF_OPEN.format(1)) as one:
        first, second = one.clients()
        killed = int(first.get("/whoami").body)
        first.get("/"), second.get("/")
        one.status = 200
        one.hold()
        one.proxy.wait_for_log("is half-open")
        one.origin.requests.clear()
        while one.refused_of([first], held=0):
            pass
        assert one.refused_of([second], held=1) == [second]
        one.waits = None  # for those that come now
        os.kill(killed, signal.SIGKILL)
        until(lambda: second.get("/").status == 200)
        assert len(one.origin.requests) == 2
        assert one.proxy.wait_for_log(" closes").count(" closes") == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_a_breaker_stays_open_when_all_workers_are_replaced(tmp_path: Path, threads: int) -> None:
    upstream = 'circuit_break_max_consecutive_failures = 2\ncircuit_break_open_duration = "1h"'
    with setting(tmp_path, upstream, threads) as one:
        client = one.clients()[0]
        client.get("/"), client.get("/")
        one.proxy.wait_for_log(" opens for ")
        killed = one.proxy.workers
        for worker in killed:
            os.kill(worker, signal.SIGKILL)
            until(lambda worker=worker: worker not in one.proxy.workers)
        until(lambda: len(one.proxy.workers) == threads)
        for client in one.clients():
            assert client.get("/").header("retry-after") == "5"
        assert len(one.origin.requests) == 2
