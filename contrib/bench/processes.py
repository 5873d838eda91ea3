"""Starting, stopping and measuring processes (Linux: everything is read from ``/proc``)."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

TICKS: Final = os.sysconf("SC_CLK_TCK")
START_SECONDS: Final = 15.0
STOP_SECONDS: Final = 10.0


def free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Return whether a process listens on a port."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Processes:
    """Processes that are stopped, with their children, at the end of the block.

    :param folder: where their output is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str], port: int) -> bool:
        """Start a process; return whether it listens in time, and print its last output if not."""
        output = self._folder / f"{name}.out"
        # Caddy writes to its home directory, and its threads would make the comparison with one
        # worker unfair.
        home = str(self._folder)
        env = {**os.environ, "GOMAXPROCS": "1", "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home}
        with output.open("wb") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=env,
                start_new_session=True,
            )
        self._running[name] = process
        end = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < end:
            if answers(port):
                return True
            time.sleep(0.01)
        print(f"{name} did not start: {output.read_text()[-600:]}", file=sys.stderr)
        return False

    def pid(self, name: str) -> int:
        """Return the process id of a process that was started."""
        return self._running[name].pid

    def stop(self, name: str) -> None:
        """Stop a process and its children."""
        process = self._running.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name in reversed(list(self._running)):
            self.stop(name)


def family(pid: int) -> list[int]:
    """Return a process and everything below it."""
    found = [pid]
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += family(int(child))
    return found


class CpuTime(NamedTuple):
    """Seconds of CPU time."""

    user: float
    kernel: float

    @property
    def total(self) -> float:
        """The sum of both."""
        return self.user + self.kernel

    def since(self, earlier: CpuTime) -> CpuTime:
        """Return the time spent since an earlier reading."""
        return CpuTime(self.user - earlier.user, self.kernel - earlier.kernel)


def cpu_time(pid: int) -> CpuTime:
    """Return the CPU time of a process and everything below it."""
    user = kernel = 0
    for one in family(pid):
        with suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            user += int(fields[11])
            kernel += int(fields[12])
    return CpuTime(user / TICKS, kernel / TICKS)


def memory(pid: int) -> int:
    """Return the bytes of memory of a process and everything below it (shared pages by share)."""
    kilobytes = 0
    for one in family(pid):
        with suppress(OSError):
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
            if found := re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE):
                kilobytes += int(found[1])
    return kilobytes * 1024
