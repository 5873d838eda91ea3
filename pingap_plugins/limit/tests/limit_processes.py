"""A pingap with several workers, as operators run it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pingap.testing import Client

TOML = """
[basic]
threads = {workers}
pid_file = "{folder}/pid"
grace_period = "0s"

[plugins.slow]
category = "limit"
{limit}

[upstreams.u]
addrs = ["{upstream}"]

[locations.l]
upstream = "u"
plugins = ["slow"]

[servers.s]
addr = "127.0.0.1:{port}"
locations = ["l"]
"""


class Running:
    """A running pingap."""

    def __init__(self, folder: Path, upstream: str, limit: str, workers: int) -> None:
        folder.mkdir(exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._folder, self._upstream, self._workers = folder, upstream, workers
        self._conf, self._log = folder / "pingap.toml", folder / "log"
        self.configure(limit)
        environment = {**os.environ, "PINGAP_STATE_DIR": str(folder / "state")}
        command = [sys.executable, "-m", "pingap", "-c", str(self._conf), "--log", str(self._log)]
        with (folder / "out").open("wb") as out:
            self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)

    def configure(self, limit: str) -> None:
        """Write the configuration."""
        self._conf.write_text(
            TOML.format(
                folder=self._folder,
                upstream=self._upstream,
                limit=limit,
                workers=self._workers,
                port=self.port,
            )
        )

    def reload(self, limit: str) -> None:
        """Change the limit, and wait until all workers have it."""
        self.configure(limit)
        before = self.log.count("reloaded")
        self.process.send_signal(signal.SIGHUP)
        until(lambda: self.log.count("reloaded") > before, self._log)

    @property
    def log(self) -> str:
        """The application log."""
        return self._log.read_text()

    @property
    def workers(self) -> list[int]:
        """The process ids of the workers."""
        pid = self.process.pid
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def get(self, target: str = "/", headers: dict[str, str] | None = None) -> int:
        """Return the status of a request on a connection of its own."""
        with Client(("127.0.0.1", self.port)) as client:
            return client.request("GET", target, headers=headers or {}).status

    def hammer(
        self, requests: int, threads: int = 8, headers: dict[str, str] | None = None
    ) -> Counter[int]:
        """Make requests from several threads, and count the statuses."""
        found: list[int] = []

        def work() -> None:
            found.extend([self.get(headers=headers) for _ in range(requests // threads)])

        started = [threading.Thread(target=work) for _ in range(threads)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        return Counter(found)

    def wait_until_it_serves(self) -> None:
        """Return when all workers have started."""
        out = self._folder / "out"
        until(lambda: "is serving" in out.read_text(), out)

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def running(folder: Path, upstream: str, limit: str, workers: int = 4) -> Iterator[Running]:
    """Run pingap; its state is in ``folder``."""
    pingap = Running(folder, upstream, limit, workers)
    try:
        pingap.wait_until_it_serves()
        yield pingap
    finally:
        pingap.stop()


def answers(port: int) -> bool:
    """Return whether something listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(condition: Callable[[], object], told: Path | None = None, seconds: float = 60) -> None:
    """Return when a condition holds."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise AssertionError(told.read_text() if told else "it did not come")
        time.sleep(0.02)
