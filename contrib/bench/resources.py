"""Measure other figures than the comparison: memory, start, lookup, large transfers.

Each has a budget. Linux, loopback only. The budgets are those of ``docs/design.md``.
"""

from __future__ import annotations

import argparse
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Final

from micro import (
    ALGOS,
    BREAKERS,
    dictionary_update,
    one_choice,
    one_guarded_attempt,
    one_lookup,
    one_more_async_plugin,
    one_more_plugin,
    one_ring,
    shared_updates,
)
from processes import Processes, free_port, memory
from proxies import start_pingap, write_pingap

from pingap.config import parse_size

HERE: Final = Path(__file__).parent
KIB, MIB = 1024, 1024 * 1024
CHUNK: Final = bytes(256 * KIB)
LOCATIONS: Final = 1000


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report.

    :param budget: the figure must stay below it; None if there is no budget.
    """

    name: str
    value: float
    unit: str
    budget: float | None = None

    def __str__(self) -> str:
        verdict = ""
        if self.budget is not None:
            verdict = f"(budget {self.budget:g}) " + (
                "ok" if self.value < self.budget else "TOO MUCH"
            )
        return f"{self.name:56} {self.value:9.2f} {self.unit:4} {verdict}"


class Lab:
    """A running pingap in front of a streaming origin.

    :param connections: how many client connections it must be able to hold.
    """

    def __init__(self, processes: Processes, folder: Path, connections: int) -> None:
        origin, self.port = free_port(), free_port()
        script = str(HERE / "streaming_origin.py")
        basic = f"max_connections = {connections + 100}"
        command = start_pingap(write_pingap(folder, self.port, origin, basic=basic))
        if not processes.start("origin", [sys.executable, script, str(origin)], origin):
            raise SystemExit(1)
        began = time.monotonic()
        if not processes.start("pingap", command, self.port):
            raise SystemExit(1)
        with self.connect() as sock:
            sock.sendall(b"GET /ping HTTP/1.1\r\nHost: bench\r\n\r\n")
            sock.recv(4096)
        self.started_in = time.monotonic() - began
        self._pid = processes.pid("pingap")

    def connect(self) -> socket.socket:
        """Return a new connection to the proxy."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def memory(self) -> int:
        """Return the bytes of memory of the proxy."""
        return memory(self._pid)


@contextmanager
def lab(connections: int = 0) -> Iterator[Lab]:
    """Run a lab inside the block."""
    with tempfile.TemporaryDirectory(prefix="pingap-bench-") as name:
        folder = Path(name)
        with Processes(folder) as processes:
            yield Lab(processes, folder, connections)


def at_rest(options: argparse.Namespace) -> Iterator[Figure]:
    """Start the bench configuration and measure it."""
    with lab() as running:
        yield Figure("from start to first answer", running.started_in, "s")
        time.sleep(1)
        yield Figure("worker at rest", running.memory() / MIB, "MiB", 60)


def idle_connections(options: argparse.Namespace) -> Iterator[Figure]:
    """Hold idle keep-alive connections; the client is another process."""
    count = options.connections
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count + 300:
        print(f"idle: the limit of open files is {hard}, so fewer connections", file=sys.stderr)
        count = hard - 300
    with lab(count) as running:
        before = running.memory()
        command = [sys.executable, str(HERE / "idle_clients.py"), str(running.port), str(count)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as clients:
            assert clients.stdin is not None
            assert clients.stdout is not None
            if clients.stdout.readline() != "ready\n":
                print("idle: the clients failed", file=sys.stderr)
                return
            used = running.memory() - before
            clients.stdin.close()
        name = f"memory of one of {count} idle keep-alive connections"
        yield Figure(name, used / count / KIB, "KiB", 8)


def plugins(options: argparse.Namespace) -> Iterator[Figure]:
    """Time the frozen chains."""
    yield Figure("one more sync plugin that does nothing, two phases", one_more_plugin(), "us", 0.3)
    yield Figure("one more async plugin that awaits nothing", one_more_async_plugin(), "us", 2)


def lookup(options: argparse.Namespace) -> Iterator[Figure]:
    """Time the router."""
    few, many = one_lookup(10), one_lookup(10_000)
    yield Figure("lookup with 10 locations", few, "us")
    yield Figure("lookup with 10 000 locations, what is more", many - few, "us", 2)


def balancing(options: argparse.Namespace) -> Iterator[Figure]:
    """Time the balancers."""
    for algo in ALGOS:
        yield Figure(f"choosing one of 10 backends, {algo}", one_choice(algo, 10), "us", 1)
        yield Figure(f"choosing one of 1000 backends, {algo}", one_choice(algo, 1000), "us", 3)
    yield Figure("building the ring of 1000 backends", one_ring(1000), "ms", 50)


def breakers(options: argparse.Namespace) -> Iterator[Figure]:
    """Time successful attempts through a circuit breaker."""
    for limit in BREAKERS:
        for workers in (1, 4, 16):
            name = f"closed circuit breaker, {limit}, {workers} workers"
            yield Figure(name, one_guarded_attempt(limit, workers), "us", 3)


def shared(options: argparse.Namespace) -> Iterator[Figure]:
    """Time updates of shared state."""
    yield Figure("number in a dictionary", dictionary_update(), "us")
    for workers in (1, 4, 16):
        for name, cost in shared_updates(workers).items():
            budget = 5 if workers == 4 and "new key" not in name else None
            yield Figure(f"shared state, {workers} workers: {name}", cost, "us", budget)


def check(options: argparse.Namespace) -> Iterator[Figure]:
    """Run ``pingap -t`` on a large directory."""
    with tempfile.TemporaryDirectory(prefix="pingap-bench-") as name:
        _write_directory(Path(name))
        command = [sys.executable, "-m", "pingap", "-c", name, "-t"]
        began = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.monotonic() - began
    yield Figure(f"pingap -t on a directory of {LOCATIONS} locations", seconds, "s", 2)


def _write_directory(folder: Path) -> None:
    names = [f"location{i}" for i in range(LOCATIONS)]
    listed = ", ".join(f'"{name}"' for name in names)
    (folder / "servers.toml").write_text(
        f'[servers.web]\naddr = "127.0.0.1:0"\nlocations = [{listed}]\n'
    )
    (folder / "upstreams.toml").write_text('[upstreams.app]\naddrs = ["127.0.0.1:9"]\n')
    (folder / "locations").mkdir()
    for i, name in enumerate(names):
        (folder / "locations" / f"{name}.toml").write_text(
            f'[locations.{name}]\nupstream = "app"\npath = "~^/v[0-9]+/{name}(/|$)"\n'
            f'host = "host{i % 100}.test"\nplugins = ["pingap:requestId"]\n'
            'proxy_set_headers = ["X-Location: ' + name + '"]\n'
        )


def transfers(options: argparse.Namespace) -> Iterator[Figure]:
    """Download and upload a body that is far larger than the memory that the proxy may use."""
    size = options.size
    for name, transfer in (("download", _download), ("upload", _upload)):
        with lab() as running:
            rest = running.memory()
            with _peak_memory(running) as peak:
                began = time.monotonic()
                transfer(running, size)
                seconds = time.monotonic() - began
            more = (peak[0] - rest) / MIB
        yield Figure(f"{name} of {size / 2**30:g} GiB, memory above rest", more, "MiB", 10)
        yield Figure(f"{name}, speed", size / MIB / seconds, "MiB/s")


def _download(running: Lab, size: int) -> None:
    with running.connect() as sock:
        sock.sendall(f"GET /{size} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
        received = 0
        buffer = bytearray(256 * KIB)
        while count := sock.recv_into(buffer):
            received += count
    if received < size:
        raise SystemExit(f"download: only {received} bytes came")


def _upload(running: Lab, size: int) -> None:
    with running.connect() as sock:
        sock.sendall(f"POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: {size}\r\n\r\n".encode())
        left = size
        while left:
            left -= sock.send(CHUNK[:left])
        answer = sock.recv(4096)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"upload: {answer[:100]!r}")


@contextmanager
def _peak_memory(running: Lab) -> Iterator[list[int]]:
    """Measure the memory ten times a second; the element is the maximum."""
    peak, ended = [running.memory()], Event()

    def look() -> None:
        while not ended.wait(0.1):
            peak[0] = max(peak[0], running.memory())

    thread = Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


FIGURES: Final[dict[str, Callable[[argparse.Namespace], Iterator[Figure]]]] = {
    "rest": at_rest,
    "idle": idle_connections,
    "plugins": plugins,
    "lookup": lookup,
    "balancing": balancing,
    "breakers": breakers,
    "shared": shared,
    "check": check,
    "transfers": transfers,
}


def main() -> int:
    """Measure; 1 if a figure is over its budget."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(FIGURES), help="may be repeated")
    parser.add_argument("--connections", type=int, default=10_000, help="idle ones [10000]")
    parser.add_argument("--size", type=parse_size, default="1GiB", help="of a transfer [1GiB]")
    options = parser.parse_args()
    good = True
    for name in options.only or FIGURES:
        for figure in FIGURES[name](options):
            print(figure, flush=True)
            good &= figure.budget is None or figure.value < figure.budget
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
