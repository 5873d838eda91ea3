"""Signals at any moment of a start do not end it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.processes import is_running
from support.waiting import until

TOML = """
[basic]
error_log = "{folder}/error.log"
pid_file = "{folder}/pingap.pid"
upgrade_sock = "{folder}/up.sock"
[plugins.hello]
category = "mock"
[locations.all]
plugins = ["hello"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
"""
NUMBERS = (
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGQUIT,
    signal.SIGCHLD,
    signal.SIGPIPE,
)


def is_python_there(pid: int) -> bool:
    """Whether the interpreter has come to our code: it takes no notice of us before."""
    blocked = next(
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "SigBlk" in line
    )
    return bool(int(blocked.split()[1], 16) & 1 << (signal.SIGHUP - 1))


@pytest.mark.parametrize("flags", [[], ["-d"]], ids=["foreground", "daemon"])
def test_signals_while_it_starts(tmp_path: Path, flags: list[str]) -> None:
    conf = tmp_path / "p.toml"
    conf.write_text(TOML.format(folder=tmp_path))
    log = tmp_path / "app.log"
    command = [sys.executable, "-m", "pingap", "-c", conf, *flags, f"--log={log}?rolling=never"]
    err = tmp_path / "err"
    with err.open("w") as file:
        process = subprocess.Popen(command, stderr=file, stdin=subprocess.DEVNULL)
    until(lambda: is_python_there(process.pid), seconds=30)

    def serves() -> bool:
        return "is serving" in err.read_text()

    end = time.monotonic() + 40
    while not serves() and process.poll() is None:
        assert time.monotonic() < end
        for number in NUMBERS:
            process.send_signal(number)
        time.sleep(0.01)
    if flags:
        assert process.wait(40) == 0, err.read_text()
        pid = int((tmp_path / "pingap.pid").read_text())
    else:
        pid = process.pid
        until(lambda: "the configuration was reloaded" in log.read_text(), seconds=30)
    assert is_running(pid)
    os.kill(pid, signal.SIGTERM)
    until(lambda: process.poll() is not None and not is_running(pid), seconds=30)
    assert process.returncode == 0
