"""pingap as it is installed: a supervisor and workers in processes of their own."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pingap.plugins.state_directory import VARIABLE
from pingap.testing.client import Answer, Client
from pingap.testing.fields import FieldsLike

_ANNOUNCED: Final = re.compile(r"^\s+(?:https?://)?(\S+)\s+(\S+): \d+ locations?$", re.MULTILINE)
_RELOADED: Final = "the configuration was reloaded"


class ProxyProcess:
    """A running pingap, for what only processes have: several workers, signals, reloads, upgrades, memory.

    It takes half a second of CPU time to start, so test everything else with :class:`Proxy`. As a context
    manager it is stopped at the end. Linux only.

    :param toml: the configuration; ``addr = "127.0.0.1:0"`` stands for a free port.
    :param folder: a directory for the configuration, the log and the state of plugins; it is made if it does not
        exist, and a later process may use it again.
    :param arguments: of the command, such as ``"--threads", "2"``.
    :param location: the value of ``-c`` if the configuration is elsewhere, such as in a storage.
    :param env: further environment variables.
    :param program: the command, with its first arguments; by default ``pingap`` of this Python.
    :param start_seconds: how long it may take to start.
    :raises AssertionError: it does not start; with what it printed.
    """

    def __init__(
        self,
        toml: str,
        folder: Path,
        *arguments: str,
        location: str = "",
        env: Mapping[str, str] | None = None,
        program: Sequence[str] = (sys.executable, "-m", "pingap"),
        start_seconds: float = 20,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.conf = folder / "pingap.toml"
        """The file with the configuration."""
        self.conf.write_text(toml)
        self.log_path = folder / "pingap.log"
        command = [
            *program,
            "-c",
            location or str(self.conf),
            "--log",
            f"{self.log_path}?rolling=never",
        ]
        self.process = subprocess.Popen(  # noqa: S603 - the command of the test
            [*command, *arguments],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env={**os.environ, VARIABLE: str(folder / "state"), **(env or {})},
        )
        try:
            self.start_text = self._read_start(start_seconds)
            """What it printed: that it serves, and where."""
        except BaseException:  # nobody would end it, and a busy machine would be busier still
            self.process.kill()
            self.process.communicate()
            raise
        self.addresses: dict[str, list[str]] = {}
        """Name of a server -> the addresses that it listens on."""
        for address, name in _ANNOUNCED.findall(self.start_text):
            self.addresses.setdefault(name, []).append(address)

    def _read_start(self, seconds: float) -> str:
        """Read standard error until all servers are announced or the process ends."""
        assert self.process.stderr is not None
        os.set_blocking(self.process.stderr.fileno(), False)
        text, end = "", time.monotonic() + seconds
        while time.monotonic() < end and not _ANNOUNCED.search(text):
            select.select([self.process.stderr], [], [], 0.5)
            text += (self.process.stderr.read() or b"").decode()
            if self.process.poll() is not None:
                raise AssertionError(f"pingap did not start: {text}")
        assert _ANNOUNCED.search(text), text
        return text

    @property
    def workers(self) -> list[int]:
        """Process ids of the workers, by their age."""
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    # Requests.

    def port(self, server: str = "") -> int:
        """Return the port of a server; by default of the first one."""
        name = server or next(iter(self.addresses))
        return int(self.addresses[name][0].rpartition(":")[2])

    def connect(self, server: str = "") -> Client:
        """Return a new connection to a server; by default the first one. The kernel chooses the worker."""
        return Client(("127.0.0.1", self.port(server)))

    def request(self, method: str, target: str, *, headers: FieldsLike = ()) -> Answer:
        """Make a request on a connection of its own."""
        with self.connect() as client:
            return client.request(method, target, headers=headers)

    def get(self, target: str, *, headers: FieldsLike = ()) -> Answer:
        """Make a GET request on a connection of its own."""
        return self.request("GET", target, headers=headers)

    # What it does.

    @property
    def log(self) -> str:
        """What the application log holds; flushed four times a second."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def wait_for_log(self, text: str, seconds: float = 20) -> str:
        """Return the log once it holds the text.

        :raises AssertionError: it does not appear; with the log.
        """
        self.wait_until(lambda: text in self.log, f"{text!r} in the log", seconds)
        return self.log

    def wait_until(
        self, condition: Callable[[], object], what: str = "it", seconds: float = 20
    ) -> None:
        """Return once a condition holds.

        :param what: what is waited for, for the message.
        :raises AssertionError: it does not hold in time; with the log.
        """
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"{what} did not appear:\n{self.log}"
            time.sleep(0.02)

    def reload(self, toml: str | None = None) -> None:
        """Reload the configuration, and return when all workers have it.

        :param toml: the new configuration; by default what the file holds.
        :raises AssertionError: it is not taken up; with the log.
        """
        if toml is not None:
            temporary = self.folder / "pingap.toml.new"
            temporary.write_text(toml)
            temporary.replace(self.conf)
        before = self.log.count(_RELOADED)
        self.process.send_signal(signal.SIGHUP)
        self.wait_until(lambda: self.log.count(_RELOADED) > before, _RELOADED)

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 20) -> int:
        """Send a signal and return the exit code.

        :raises subprocess.TimeoutExpired: it did not end in time, and was killed.
        """
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
