"""A pingap with several workers, as operators run it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pingap.testing import Answer, Client

TOML = """
[basic]
threads = {workers}
pid_file = "{folder}/pid"
grace_period = "0s"

[plugins.c]
category = "cache"
{cache}

[upstreams.u]
addrs = ["{upstream}"]

[locations.l]
upstream = "u"
plugins = ["c"]

[servers.s]
addr = "127.0.0.1:{port}"
locations = ["l"]
"""


class Running:
    """A running pingap."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self._log = log

    @property
    def workers(self) -> list[int]:
        """The process ids of the workers."""
        pid = self.process.pid
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    @property
    def log(self) -> str:
        """The application log."""
        return self._log.read_text()

    def connect(self) -> Client:
        """Return a new connection, to any worker."""
        return Client(("127.0.0.1", self.port))

    def request(self, method: str, target: str, headers: dict[str, str] | None = None) -> Answer:
        """Make a request on a connection of its own."""
        with self.connect() as client:
            return client.request(method, target, headers=headers or {})

    def get(self, target: str, headers: dict[str, str] | None = None) -> Answer:
        """Make a GET request on a connection of its own."""
        return self.request("GET", target, headers)


@contextmanager
def running(
    folder: Path,
    upstream: str,
    *,
    cache: str = "",
    workers: int = 2,
    prefix: Sequence[str] = (),
) -> Iterator[Running]:
    """Run pingap; its state is in ``folder``.

    :param prefix: a program, with arguments, that runs it.
    """
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    conf, log = folder / "pingap.toml", folder / "log"
    conf.write_text(
        TOML.format(folder=folder, upstream=upstream, cache=cache, workers=workers, port=port)
    )
    environment = {**os.environ, "PINGAP_STATE_DIR": str(folder / "state")}
    command = [*prefix, sys.executable, "-m", "pingap", "-c", str(conf), "--log", str(log)]
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    pingap = Running(process, port, log)
    try:
        until(lambda: _answers(port), folder / "out")
        until(lambda: len(pingap.workers) >= workers, folder / "out")
        yield pingap
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(condition: Callable[[], object], told: Path | None = None) -> None:
    """Return when a condition holds."""
    limit = time.monotonic() + 30
    while not condition():
        if time.monotonic() > limit:
            text = told.read_text() if told else "it did not come"
            raise AssertionError(text)
        time.sleep(0.02)
