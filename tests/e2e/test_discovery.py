"""Backends that a distribution finds, in workers, over reloads."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.plugins import python_path, write_distribution
from support.process import Process
from support.waiting import until

from pingap.testing import Upstream

SOURCE = """
class Inventory(Discovery):
    word = "inventory"

    def add(self, text):
        self.path = text

    async def find(self):
        log.warning("looking at %s", self.path)
        listed = (await anyio.Path(self.path).read_text()).split()
        return Discovered([self.parse(line) for line in listed])
"""


def upstream(name: str, file: Path) -> str:
    return f"""
[upstreams.{name}]
addrs = ["{file}"]
discovery = "inventory"
update_frequency = "1s"
[locations.{name}]
path = "/{name}"
upstream = "{name}"
"""


SERVER = """
[servers.web]
addr = "127.0.0.1:0"
locations = {locations}
"""


@pytest.fixture
def pair() -> Iterator[tuple[Upstream, Upstream]]:
    with ExitStack() as stack:
        one, two = (stack.enter_context(Upstream()) for _ in range(2))
        for origin, word in ((one, "one"), (two, "two")):
            for path in ("/a", "/b"):
                origin.reply(path, word)
        yield one, two


def ask(proxy: Process, path: str) -> tuple[int, bytes]:
    with proxy.connect() as client:
        answer = client.get(path)
        return answer.status, answer.body


def test_a_reload_keeps_what_stays_and_ends_what_goes(
    tmp_path: Path, pair: tuple[Upstream, Upstream]
) -> None:
    write_distribution(
        tmp_path / "site", "stock", SOURCE, {"discovery:inventory": "stock:Inventory"}
    )
    one, two = pair
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(one.addr)
    both = upstream("a", first) + upstream("b", second) + SERVER.format(locations=["a", "b"])
    alone = upstream("a", first) + SERVER.format(locations=["a"])
    with Process(alone, tmp_path / "proxy", env=python_path(tmp_path / "site")) as proxy:
        assert ask(proxy, "/a") == (200, b"one")
        proxy.conf.write_text(both)
        proxy.process.send_signal(signal.SIGHUP)
        until(lambda: ask(proxy, "/b")[0] == 503)  # it has none, and does not hinder a
        assert ask(proxy, "/a") == (200, b"one")
        second.write_text(two.addr)
        until(lambda: ask(proxy, "/b") == (200, b"two"))
        first.write_text(two.addr)
        until(lambda: ask(proxy, "/a") == (200, b"two"))
        proxy.conf.write_text(alone)
        proxy.process.send_signal(signal.SIGHUP)
        until(lambda: ask(proxy, "/b")[0] == 404)
        looked = 0
        for origin, word in ((one, b"one"), (two, b"two"), (one, b"one")):  # a second for each
            looked = proxy.log.count(f"looking at {second}")
            first.write_text(origin.addr)
            until(lambda word=word: ask(proxy, "/a") == (200, word))  # type: ignore[misc]
        assert proxy.log.count(f"looking at {second}") == looked
        assert proxy.stop() == 0
