"""Requests are counted while everything that can change does: none is lost.

Clients keep connections, pipeline, upload, download, hold WebSockets and streams of HTTP/2. Only what
was under way on a worker that was killed may fail.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.h2 import H2Client
from support.load import Load, Work, download, get, pipeline, upload
from support.process import Process
from support.waiting import until
from websockets.sync.client import connect

from pingap.supervisor.supervisor import SHORT_LIFE
from pingap.testing import Client, Served, Upstream

pytestmark = pytest.mark.timeout(180)

TOML = """
[basic]
threads = 2
upgrade_sock = "{folder}/upgrade.sock"
[upstreams.origin]
addrs = ["{addr}"]
health_check = "none"
[plugins.mark]
category = "response_headers"
set_headers = ["X-Number: {number}"]
[plugins.worker]
category = "python"
path = "worker.py"
[locations.all]
upstream = "origin"
plugins = ["mark", "worker"]
[servers.web]
addr = "127.0.0.1:{port}"
locations = ["all"]
enabled_h2 = true
{server}
"""

WORKER = """
import os
from pingap import Plugin, PluginSettings, hookimpl
class Worker(Plugin):
    class Settings(PluginSettings):
        pass
    def __init__(self, settings: Settings) -> None:
        pass
    @hookimpl
    def response(self, response):
        response.headers.set("X-Worker", str(os.getpid()))
"""


class Site:
    """A proxy under load."""

    def __init__(self, proxy: Process, folder: Path, addr: str, port: int) -> None:
        self.proxy = proxy
        self.folder = folder
        self.addr = addr
        self.port = port
        self.number = 0

    def write(self, server: str = "") -> None:
        """Change the configuration."""
        self.number += 1
        text = toml(self.folder, self.addr, self.port, self.number, server)
        temporary = self.folder / "new"
        temporary.write_text(text)
        temporary.replace(self.proxy.conf)

    def connect(self) -> Client:
        return Client(("127.0.0.1", self.port))

    def wait_for_successor(self) -> None:
        """Return when a new process serves, with the last change, and the old one knows."""
        taken_over = "a new process has taken over"
        until(lambda: self.proxy.log.count(taken_over) == self.number, seconds=20)
        assert self.shows_the_change()

    def shows_the_change(self) -> bool:
        with self.connect() as client:
            return client.get("/").header("x-number") == str(self.number)


def toml(folder: Path, addr: str, port: int, number: int = 0, server: str = "") -> str:
    return TOML.format(folder=folder, addr=addr, port=port, number=number, server=server)


def slow_chunks(served: Served, request: object) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    served.send(head)
    for _ in range(8):
        served.pause(0.01)
        served.send(b"c350\r\n" + b"d" * 50_000 + b"\r\n")
    served.send(b"0\r\n\r\n")


def http2(client: Client) -> bool:
    """Ask on three streams of a connection of HTTP/2."""
    with H2Client(client) as h2:
        for number in (1, 3, 5):
            assert h2.get(number, "/").status == 200
    return False


@contextmanager
def serving(folder: Path, port: int, *arguments: str) -> Iterator[Site]:
    (folder / "worker.py").write_text(WORKER)
    with Upstream() as origin:
        origin.on("/", lambda served, request: served.respond(request.body or b"ok"))
        origin.on("/piped", lambda served, request: served.respond(b"ok"))
        origin.on("/large", slow_chunks)
        origin.websocket("/ws")
        with Process(toml(folder, origin.addr, port), folder, *arguments) as proxy:
            yield Site(proxy, folder, origin.addr, port)


WORKS: dict[str, Work] = {
    "get": get,
    "pipeline": pipeline,
    "upload": upload,
    "download": download,
    "http2": http2,
}


def test_reloads(tmp_path: Path, free_port: int) -> None:
    with (
        serving(tmp_path, free_port) as site,
        Load(site.connect, **WORKS) as load,
        connect(f"ws://127.0.0.1:{free_port}/ws") as socket,
    ):
        for _ in range(30):
            site.write()
            before = site.proxy.log.count("was reloaded")
            site.proxy.process.send_signal(signal.SIGHUP)
            until(lambda: site.proxy.log.count("was reloaded") > before, seconds=20)  # noqa: B023
            socket.send("still there?")
            assert socket.recv(timeout=10) == "still there?"
            assert site.shows_the_change()
        load.wait_for_rounds()
    assert load.failures == []


def test_upgrades(tmp_path: Path, free_port: int) -> None:
    with serving(tmp_path, free_port) as site, Load(site.connect, **WORKS) as load:
        for _ in range(6):
            with connect(f"ws://127.0.0.1:{free_port}/ws") as socket:
                site.write()
                site.proxy.process.send_signal(signal.SIGUSR2)
                site.wait_for_successor()
                socket.send("still there?")  # in the old process, which waits for it
                assert socket.recv(timeout=10) == "still there?"
            load.wait_for_rounds()
    assert load.failures == []


def test_restarts(tmp_path: Path, free_port: int) -> None:
    with (
        serving(tmp_path, free_port, "--autorestart") as site,
        Load(site.connect, **WORKS) as load,
    ):
        for threads in (3, 2, 3, 2, 3):
            site.write(f"threads = {threads}")
            site.wait_for_successor()
            load.wait_for_rounds()
    assert load.failures == []


def age(pid: int) -> float:
    """Return for how many seconds a process has lived."""
    began = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return float(Path("/proc/uptime").read_text().split()[0]) - began / os.sysconf("SC_CLK_TCK")


def test_killed_workers(tmp_path: Path, free_port: int) -> None:
    killed: set[str] = set()
    unexpected: list[str] = []

    def noting(work: Work) -> Work:
        def run(client: Client) -> bool:
            worker = getattr(client, "worker", None)
            try:
                usable = work(client)
                if usable:
                    client.worker = client.get("/").header("x-worker")  # type: ignore[attr-defined]
            except (OSError, AssertionError, ValueError) as error:
                # Which worker took a new connection is not known before its first answer.
                if worker is not None and worker not in killed:
                    unexpected.append(f"worker {worker}: {error!r}")
                return False
            return usable

        return run

    works = {name: noting(work) for name, work in WORKS.items() if name != "http2"}
    with serving(tmp_path, free_port) as site, Load(site.connect, **works) as load:
        for _ in range(10):
            before = site.proxy.workers
            until(lambda: age(before[0]) > SHORT_LIFE)  # noqa: B023 - sooner, it is replaced later
            killed.add(str(before[0]))
            os.kill(before[0], signal.SIGKILL)
            until(lambda: len(site.proxy.workers) == 2 and before[0] not in site.proxy.workers)  # noqa: B023
            load.wait_for_rounds()
        until(lambda: site.proxy.log.count("was killed by SIGKILL; requests in progress") == 10)
    assert unexpected == []
