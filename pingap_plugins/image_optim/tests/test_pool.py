"""Processes that convert images: crashes, hangs, too much memory, equal images, and how they end."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from pictures import PATIENT, jpeg, opened
from pingap_image_optim import pool as pool_module
from pingap_image_optim.converter import Converter
from pingap_image_optim.jobs import Job, Reply
from pingap_image_optim.plugin import ImageOptim
from pingap_image_optim.pool import Pool

from pingap.testing import Proxy, Upstream

MEMORY = 1024**3
WEBP = Job(of_jpeg=("webp",), seconds=40.0)


@contextmanager
def converter(memory: int = MEMORY) -> Iterator[Converter]:
    made = Converter(memory)
    try:
        yield made
    finally:
        made.close()


def test_a_process_converts_one_image_after_the_other() -> None:
    with converter() as process:
        for _ in range(3):
            assert opened(process.convert(WEBP, jpeg()).body).format == "WEBP"
        assert process.convert(WEBP, b"no image").outcome == "broken"
        assert process.convert(WEBP, jpeg()).outcome == "webp"
        assert process.images == 5


def test_it_is_confined() -> None:
    with converter() as process:
        process.convert(WEBP, jpeg())
        lines = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
        limits = {line[:26].strip(): line[26:].split()[0] for line in lines}
        assert limits["Max address space"] == str(MEMORY)
        assert limits["Max core file size"] == limits["Max file size"] == "0"
        variables = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
        names = {one.partition(b"=")[0] for one in variables if one}
        assert names <= {b"PATH", b"LD_LIBRARY_PATH", b"PYTHONPATH", b"PYTHONHOME"}
        assert os.getpgid(process.pid) != os.getpgid(0)


def test_too_little_memory_is_a_reason() -> None:
    with converter(MEMORY // 8) as process:
        reply = process.convert(Job(of_jpeg=("webp",), max_pixels=10**9), jpeg(4000, 3000, 30))
    assert reply.outcome in ("too_large", "broken", "crash")
    assert reply.body == b""


def test_a_crash_is_seen() -> None:
    with converter() as process:
        process.convert(WEBP, jpeg())
        os.kill(process.pid, signal.SIGSEGV)
        assert process.convert(WEBP, jpeg()) == Reply("crash", detail="SIGSEGV")


def test_a_hang_ends_at_the_time_limit() -> None:
    with converter() as process:
        process.convert(WEBP, jpeg())
        os.kill(process.pid, signal.SIGSTOP)
        reply = process.convert(Job(seconds=0.1), jpeg())
        assert (reply.outcome, reply.body) == ("timeout", b"")
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)


def test_it_ends_when_its_parent_is_gone() -> None:
    with converter() as process:
        process.convert(WEBP, jpeg())
        process._channel.close()
        assert process._process.wait(20) == 0


# The pool.


class Recorded:
    """Takes the place of a process, where a test decides what happens in it."""

    def __init__(self, convert: Callable[[Job, bytes], Reply]) -> None:
        self.convert = convert
        self.is_worn = False
        self.closed = False
        self.pid = 0

    def kill(self) -> None:
        self.closed = True

    def close(self) -> str:
        self.closed = True
        return ""


@pytest.fixture
def begun() -> threading.Event:
    return threading.Event()


async def until(condition: Callable[[], object]) -> None:
    """Return when a condition holds."""
    with anyio.fail_after(20):
        for _ in itertools.count():
            if condition():
                return
            await anyio.sleep(0.001)


def run(test: Callable[[Pool], object], processes: int = 1) -> None:
    """Run a test with a pool."""

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            pool = Pool(processes, MEMORY)
            pool.open(tasks)  # type: ignore[arg-type]  # the part of it that is used
            try:
                await test(pool)  # type: ignore[misc]
            finally:
                pool.close()

    anyio.run(main)


def test_equal_images_are_converted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    go, seen = threading.Event(), []

    def convert(job: Job, data: bytes) -> Reply:
        seen.append(data)
        go.wait(10)
        return Reply("webp", b"made of " + data)

    monkeypatch.setattr(pool_module, "Converter", lambda memory: Recorded(convert))

    async def test(pool: Pool) -> None:
        replies: list[Reply] = []

        async def ask(data: bytes) -> None:
            replies.append(await pool.convert(WEBP, data))

        async with anyio.create_task_group() as tasks:
            for data in (b"a", b"a", b"b", b"a"):
                tasks.start_soon(ask, data)
            await until(
                lambda: (
                    not (len(pool._works) < 2 or sum(w.waiting for w in pool._works.values()) < 4)
                )
            )
            go.set()
        assert sorted(one.body for one in replies) == [b"made of a"] * 3 + [b"made of b"]
        assert sorted(seen) == [b"a", b"b"]

    run(test)


def test_those_that_find_the_pool_full_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def convert(job: Job, data: bytes) -> Reply:
        go.wait(10)
        return Reply("webp", data)

    monkeypatch.setattr(pool_module, "Converter", lambda memory: Recorded(convert))

    async def test(pool: Pool) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(17):
                tasks.start_soon(pool.convert, WEBP, b"%d" % number)
            await until(lambda: not (len(pool._works) < 17))
            assert await pool.convert(WEBP, b"one more") == Reply("busy")
            go.set()
        assert (await pool.convert(WEBP, b"one more")).outcome == "webp"

    run(test)


def test_who_waits_too_long_gets_the_original_and_nothing_is_done_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go, seen = threading.Event(), []

    def convert(job: Job, data: bytes) -> Reply:
        seen.append(data)
        go.wait(10)
        return Reply("webp", data)

    monkeypatch.setattr(pool_module, "Converter", lambda memory: Recorded(convert))
    quick = Job(of_jpeg=("webp",), seconds=0.05)

    async def test(pool: Pool) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pool.convert, WEBP, b"first")
            await until(lambda: bool(seen))
            assert await pool.convert(quick, b"second") == Reply("busy")
            go.set()
        await until(lambda: not (pool._works))
        assert seen == [b"first"]

    run(test)


@pytest.mark.parametrize("outcome", ["crash", "timeout"])
def test_what_has_failed_is_not_tried_again_for_some_time(
    monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    seen: list[bytes] = []

    def convert(job: Job, data: bytes) -> Reply:
        seen.append(data)
        return Reply(outcome if data == b"bad" else "webp", b"", "why")

    monkeypatch.setattr(pool_module, "Converter", lambda memory: Recorded(convert))

    async def test(pool: Pool) -> None:
        assert await pool.convert(WEBP, b"bad") == Reply(outcome, b"", "why")
        assert await pool.convert(WEBP, b"bad") == Reply(outcome)
        assert (await pool.convert(WEBP, b"good")).outcome == "webp"
        assert seen == [b"bad", b"good"]
        later = time.monotonic() + pool_module.REMEMBERED_SECONDS + 1
        monkeypatch.setattr(pool_module.time, "monotonic", lambda: later)
        await pool.convert(WEBP, b"bad")
        assert seen == [b"bad", b"good", b"bad"]
        monkeypatch.setattr(pool_module, "MOST_REMEMBERED", 1)
        pool._remember(b"x", outcome)
        assert list(pool._failures) == [b"x"]

    run(test)


def test_a_process_that_cannot_be_started_leaves_the_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(memory: int) -> Recorded:
        raise OSError("no more processes")

    monkeypatch.setattr(pool_module, "Converter", fail)

    async def test(pool: Pool) -> None:
        reply = await pool.convert(WEBP, b"a")
        assert reply == Reply("crash", detail="no process: no more processes")
        assert not pool._failures

    run(test)


def test_a_worn_process_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Recorded] = []

    def start(memory: int) -> Recorded:
        made.append(Recorded(lambda job, data: Reply("webp", data)))
        made[-1].is_worn = len(made) == 1
        return made[-1]

    monkeypatch.setattr(pool_module, "Converter", start)

    async def test(pool: Pool) -> None:
        for number in range(3):
            await pool.convert(WEBP, b"%d" % number)
        assert [one.closed for one in made] == [True, False]

    run(test)
    assert [one.closed for one in made] == [True, True]


# In a proxy.


def test_clients_get_the_original_of_an_image_that_kills_its_process(
    proxy: Proxy, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is killed from outside, which is what the parent sees of a crash."""
    whole = Converter.convert
    killed: list[int] = []

    def convert(self: Converter, job: Job, data: bytes) -> Reply:
        if not killed:
            killed.append(self.pid)
            os.kill(self.pid, signal.SIGKILL)
        return whole(self, job, data)

    monkeypatch.setattr(Converter, "convert", convert)
    headers = {"Content-Type": "image/jpeg"}
    upstream.reply("/bad", jpeg(quality=93), headers=headers)
    upstream.reply("/good", jpeg(), headers=headers)
    proxy.location(
        "/", plugins=[("image_optim", {"output_types": "webp", "processes": 1, **PATIENT})]
    )
    accept = {"Accept": "image/webp"}
    for _ in range(2):
        assert proxy.get("/bad", headers=accept).body == jpeg(quality=93)
    assert opened(proxy.get("/good", headers=accept).body).format == "WEBP"
    proxy.wait_for_log("/bad> is sent as it is: crash: SIGKILL")
    assert proxy.metrics().value("pingap_image_optim_images_total", outcome="crash") == 2


def test_no_process_is_left(proxy: Proxy, upstream: Upstream) -> None:
    plugin = ImageOptim(ImageOptim.Settings())
    upstream.reply("/", jpeg(), headers={"Content-Type": "image/jpeg"})
    proxy.location("/", plugins=[plugin])
    assert proxy.get("/").body != jpeg()
    assert plugin._pool is not None
    [pid] = plugin._pool.pids
    proxy.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
