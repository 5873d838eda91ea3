"""What blocks the event loop is named, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.plugins import PREAMBLE, python_path, routes, write_distribution
from support.process import Process

from pingap.observability.watchdog import REPEAT_SECONDS

SOURCE = """
import re, time
from anyio import to_thread

class Blocks(Plugin):
    category = "blocks"

    @hookimpl
    def request(self, request: Request):
        if request.query == "sleep":
            self.wait()
        if request.query == "again":
            self.wait()
        if request.query == "compute":
            while time.monotonic() - self.began < 0.4: pass
        if request.query == "lock":
            re.match(r"(a+)+$", "a" * 23 + "b")  # C code that no other thread can interrupt
        return Response.text(200, "ok")

    @hookimpl
    def early_request(self):
        self.began = time.monotonic()

    def wait(self):
        time.sleep(0.4)


class Awaits(Plugin):
    category = "awaits"

    @hookimpl
    async def request(self, request: Request):
        if request.query == "sleep":
            time.sleep(0.4)
        if request.query == "thread":
            await to_thread.run_sync(time.sleep, 0.4)
        if request.query == "await":
            await anyio.sleep(0.4)
        if request.query == "short":
            for _ in range(40):  # one coroutine, many short turns
                time.sleep(0.01)
                await anyio.sleep(0)
        return Response.text(200, "ok")

    @hookimpl
    def logging(self):
        log.info("done")
"""
TABLES = '[plugins.blocks]\ncategory = "blocks"\n[plugins.awaits]\ncategory = "awaits"\n'
LINES = (PREAMBLE + SOURCE).split("\n")


def line_of(text: str) -> int:
    """Return the line of the module that holds a text first."""
    return next(number for number, line in enumerate(LINES, 1) if text in line)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Process]:
    write_distribution(tmp_path / "site", "blocking", SOURCE)
    toml = routes({"sync": "blocks", "async": "awaits"}, "127.0.0.1:9", more=TABLES)
    with Process(toml, tmp_path / "proxy", env=python_path(tmp_path / "site")) as running:
        yield running


def told(proxy: Process, target: str) -> str:
    """Return the log once it tells that the loop goes on after a request."""
    with proxy.connect() as client:
        assert client.get(target).body == b"ok"
    return proxy.wait_for_log("the event loop continues")


def test_a_sync_hook_that_blocks_is_named_with_file_and_line(proxy: Process) -> None:
    log = told(proxy, "/sync/?sleep")
    file = proxy.folder.parent / "site" / "blocking.py"
    line = line_of("self.wait()")
    first, *stack = log.split("\n")
    assert f"WARN Blocks.request ({file}:{line}) blocks the event loop for more" in first
    assert stack[:4] == [
        f'  File "{file}", line {line}, in request',
        "    self.wait()",
        f'  File "{file}", line {line_of("time.sleep(0.4)")}, in wait',
        "    time.sleep(0.4)",
    ]
    seconds = re.search(r"WARN the event loop continues after (\S+) s", log)
    assert seconds is not None
    assert 0.3 <= float(seconds[1]) < 2


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("/sync/?compute", "while time.monotonic()"),
        ("/sync/?lock", "re.match("),
    ],
)
def test_computing_blocks_as_well(proxy: Process, target: str, line: str) -> None:
    log = told(proxy, target)
    assert f"Blocks.request ({proxy.folder.parent}/site/blocking.py:{line_of(line)})" in log


def test_an_async_hook_that_does_not_await_is_named(proxy: Process) -> None:
    log = told(proxy, "/async/?sleep")
    line = LINES.index("            time.sleep(0.4)") + 1
    assert f"Awaits.request ({proxy.folder.parent}/site/blocking.py:{line})" in log


def test_one_place_is_told_once_in_a_while(proxy: Process) -> None:
    assert REPEAT_SECONDS > 5  # longer than this test
    told(proxy, "/sync/?sleep")
    with proxy.connect() as client:
        for query in ("sleep", "sleep", "again"):
            client.get(f"/sync/?{query}")
    other = LINES.index("            self.wait()", line_of('"again"') - 1) + 1
    log = proxy.wait_for_log(f"blocking.py:{other})")
    assert log.count("blocks the event loop") == 2


@pytest.mark.parametrize("query", ["thread", "await", "short"])
def test_what_does_not_block_is_not_named(proxy: Process, query: str) -> None:
    with proxy.connect() as client:
        assert client.get(f"/async/?{query}").body == b"ok"
    log = proxy.wait_for_log("done")
    assert "blocks the event loop" not in log
