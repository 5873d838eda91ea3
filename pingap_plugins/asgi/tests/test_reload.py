"""A reload while the application is at work, as operators do it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pingap.testing import ProxyProcess

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
addr = "127.0.0.1:0"
locations = ["app"]
access_log = "{{path}}"
"""


class Site:
    """A pingap whose application is one of three modules."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("reloaded_one", "reloaded_two"):
            (folder / f"{name}.py").write_text(APP.format(name=name))
        (folder / "reloaded_bad.py").write_text("raise OSError('no disk')\n")
        self.pingap = ProxyProcess(self._toml("reloaded_one"), folder)

    def _toml(self, name: str, more: str = "") -> str:
        return TOML.format(folder=self._folder, name=name, more=more)

    def fail_to_reload(self, name: str) -> None:
        """Change the application to one that cannot be loaded, and wait until this is told."""
        self.pingap.conf.write_text(self._toml(name))
        self.pingap.process.send_signal(signal.SIGHUP)
        self.pingap.wait_for_log("no disk", seconds=40)

    def reload(self, name: str, more: str = "") -> None:
        """Change the application, and wait until it is applied."""
        self.pingap.reload(self._toml(name, more))

    @property
    def notes(self) -> list[str]:
        file = self._folder / "notes"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    one = Site(tmp_path)
    with one.pingap:
        yield one


def test_old_requests_end_with_the_old_application(site: Site, tmp_path: Path) -> None:
    with site.pingap.connect() as old, site.pingap.connect() as new:
        old.send_request("GET", "/slow")
        assert old.read_head().status == 200
        site.fail_to_reload("reloaded_bad")  # and nothing changes
        site.reload("reloaded_one", 'remark = "another location, the same application"\npath = "/"')
        assert site.notes == ["reloaded_one up"]  # it goes on
        site.reload("reloaded_two")
        assert site.notes == ["reloaded_one up", "reloaded_two up"]
        new.send_request("GET", "/slow")
        assert new.read_head().status == 200
        (tmp_path / "go").touch()
        assert old.read_rest() == b"<reloaded_one"
        assert new.read_rest() == b"<reloaded_two"
    site.pingap.wait_until(lambda: "reloaded_one down" in site.notes)
    assert site.pingap.stop() == 0
    assert site.notes[-1] == "reloaded_two down"
