"""A reload while the application is at work, as operators do it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pingap.testing import Client

APP = """
import asyncio
from pathlib import Path

HERE = Path(__file__).parent
NAME = {name!r}


def note(what):
    with (HERE / "notes").open("a") as file:
        file.write(f"{{NAME}} {{what}}\\n")


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        note("up")
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
        await asyncio.sleep(0.05)
        note("down")
        await send({{"type": "lifespan.shutdown.complete"}})
        return
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"<", "more_body": scope["path"] == "/slow"}})
    if scope["path"] == "/slow":
        while not (HERE / "go").exists():
            await asyncio.sleep(0.02)
        await send({{"type": "http.response.body", "body": NAME.encode()}})
"""
TOML = """
[basic]
threads = 1
pid_file = "{folder}/pid"
[locations.app]
asgi = "{name}:app"
{more}
[servers.web]
addr = "127.0.0.1:{port}"
locations = ["app"]
access_log = "{{path}}"
"""


class Running:
    """A running pingap."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("reloaded_one", "reloaded_two"):
            (folder / f"{name}.py").write_text(APP.format(name=name))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "reloaded_bad.py").write_text("raise OSError('no disk')\n")
        self.configure("reloaded_one")
        environment = {**os.environ, "PINGAP_STATE_DIR": str(folder / "state")}
        command = [sys.executable, "-m", "pingap", "-c", str(folder / "pingap.toml")]
        with (folder / "out").open("wb") as out:
            self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)

    def configure(self, name: str, more: str = "") -> None:
        """Write the configuration."""
        toml = TOML.format(folder=self._folder, name=name, more=more, port=self.port)
        (self._folder / "pingap.toml").write_text(toml)

    def reload(self) -> None:
        """Read it again, and wait until it is applied."""
        before = self.out.count("the configuration was")
        self.process.send_signal(signal.SIGHUP)
        self.until(lambda: self.out.count("the configuration was") > before)

    @property
    def out(self) -> str:
        return (self._folder / "out").read_text()

    @property
    def notes(self) -> list[str]:
        file = self._folder / "notes"
        return file.read_text().splitlines() if file.exists() else []

    def until(self, holds: object) -> None:
        """Wait for a condition, for as long as a busy machine may take."""
        end = time.monotonic() + 40
        while not holds():  # type: ignore[operator]
            assert time.monotonic() < end, self.out
            assert self.process.poll() is None, self.out
            time.sleep(0.05)

    def connect(self) -> Client:
        return Client(("127.0.0.1", self.port))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    one = Running(tmp_path)
    try:
        one.until(lambda: "is serving" in one.out)
        yield one
    finally:
        one.process.terminate()
        one.process.wait(30)


def test_old_requests_end_with_the_old_application(running: Running, tmp_path: Path) -> None:
    with running.connect() as old, running.connect() as new:
        old.send_request("GET", "/slow")
        assert old.read_head().status == 200
        running.configure("reloaded_bad")
        running.process.send_signal(signal.SIGHUP)
        running.until(lambda: "no disk" in running.out)  # and nothing changes
        running.configure(
            "reloaded_one", 'remark = "another location, the same application"\npath = "/"'
        )
        running.reload()
        assert running.notes == ["reloaded_one up"]  # it goes on
        running.configure("reloaded_two")
        running.reload()
        assert running.notes == ["reloaded_one up", "reloaded_two up"]
        new.send_request("GET", "/slow")
        assert new.read_head().status == 200
        (tmp_path / "go").touch()
        assert old.read_rest() == b"<reloaded_one"
        assert new.read_rest() == b"<reloaded_two"
    running.until(lambda: "reloaded_one down" in running.notes)
    running.process.terminate()
    assert running.process.wait(30) == 0
    assert running.notes[-1] == "reloaded_two down"
