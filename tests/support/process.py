"""pingap as it is installed: a supervisor and workers in processes of their own.

A test of a plugin needs none of it: its proxy is :class:`pingap.testing.Proxy`, in the test's process. These are
for what only processes have: signals, reloads and upgrades, several workers, arguments, memory, descriptors.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from pingap.testing import Client

_URL = re.compile(r"^\s+(?:https?://)?(\S+)\s+(\S+): \d+ locations?$", re.MULTILINE)


class Process:
    """A running pingap. Use port 0 in ``addr``: the start-up message tells what was bound.

    :param toml: the configuration.
    :param folder: where configuration, log and standard error are kept.
    :param location: the value of ``-c``, if the configuration is elsewhere.
    :param program: the command; that of this environment by default.
    :param start_seconds: it may take to start.
    """

    def __init__(
        self,
        toml: str,
        folder: Path,
        *arguments: str,
        location: str = "",
        env: dict[str, str] | None = None,
        program: tuple[str, ...] = (sys.executable, "-m", "pingap"),
        start_seconds: float = 20,
    ):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.conf = folder / "pingap.toml"
        self.conf.write_text(toml)
        self.log_path = folder / "pingap.log"
        self.process = subprocess.Popen(
            [
                *(*program, "-c", location or str(self.conf)),
                *("--log", f"{self.log_path}?rolling=never", *arguments),
            ],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
        )
        try:
            self.start_text = self._read_start(start_seconds)
        except BaseException:  # nobody would end it, and a busy machine would be busier still
            self.process.kill()
            self.process.communicate()
            raise
        self.addresses: dict[str, list[str]] = {}
        for address, name in _URL.findall(self.start_text):
            self.addresses.setdefault(name, []).append(address)

    def _read_start(self, seconds: float) -> str:
        """Read standard error until all servers are announced or the process ends."""
        assert self.process.stderr is not None
        os.set_blocking(self.process.stderr.fileno(), False)
        text, end = "", time.monotonic() + seconds
        while time.monotonic() < end and not _URL.search(text):
            select.select([self.process.stderr], [], [], 0.5)
            text += (self.process.stderr.read() or b"").decode()
            if self.process.poll() is not None:
                raise AssertionError(f"pingap did not start: {text}")
        assert _URL.search(text), text
        return text

    @property
    def workers(self) -> list[int]:
        """Process ids of the workers (Linux), by their age."""
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def port(self, server: str = "web") -> int:
        """Return the port of a server."""
        return int(self.addresses[server][0].rpartition(":")[2])

    def connect(self, server: str = "web") -> Client:
        """Return a new connection to a server."""
        return Client(("127.0.0.1", self.port(server)))

    @property
    def log(self) -> str:
        """What the application log holds; flushed four times a second."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def wait_for_log(self, text: str, seconds: float = 5) -> str:
        """Return the log once it holds the text."""
        end = time.monotonic() + seconds
        while text not in self.log:
            assert time.monotonic() < end, f"{text!r} did not appear in the log:\n{self.log}"
            time.sleep(0.02)
        return self.log

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 10) -> int:
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            if self.process.stderr is not None:
                self.process.stderr.close()
        return code

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
