# ruff: noqa: ASYNC110 - what another process holds is looked at from time to time
"""Runs cases beside each other, and looks after them at what may not have happened."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import h2.exceptions
from support.certificates import issue

from fuzz.content import Book
from fuzz.origin import Origin
from fuzz.origin2 import Origin2
from fuzz.peer import LIMIT, Wrong
from fuzz.sessions import Case
from fuzz.target import Target

AT_ONCE = 8
ROUND = 150
"""Cases between two looks at what the process holds."""
QUIET_SECONDS = 90.0
"""How long it may take until all of a round is gone. (The system of a client that left without a sign
forgets it after a minute, and only then its kernel answers with a reset.)"""
MOST_GROWTH = 100 * 2**20
"""Bytes that the two workers may hold more than after the first round. (After half an hour what they
remember within bounds has reached these: 33 MiB each, field lines and paths that were never seen before.)"""


@dataclass
class Found:
    """Something that is wrong, and how to see it again."""

    what: str
    cases: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        seeds = [case.split(".") for case in self.cases]
        again = [f"  make fuzz ARGS='--seed {seed} --only {number}'" for seed, number in seeds]
        return "\n".join([self.what, *again[:20]])


class Fuzz:
    """A run.

    :param seed: all follows from it, but for the order in which things happen.
    :param folder: for files.
    :param only: the number of a single case.
    """

    def __init__(self, seed: int, folder: Path, only: int | None = None) -> None:
        self.seed, self.folder, self.only = seed, folder, only
        self.book = Book()
        self.found: list[Found] = []
        self.cases = 0
        self.target: Target
        self._files = self._memory = 0

    async def run(self, seconds: float) -> None:
        """Run cases for so long; stop at the first round that found something."""
        async with AsyncExitStack() as stack:
            ports = {name: await self._origin(stack, name) for name in ("h1", "h2", "tls")}
            self.target = await asyncio.to_thread(Target, ports, self.folder)
            try:
                await self._rounds(time.monotonic() + seconds)
            finally:
                wrong = await asyncio.to_thread(self.target.stop)
            if wrong:
                self.found.append(Found(wrong))

    async def _origin(self, stack: AsyncExitStack, name: str) -> int:
        kind = Origin2 if name == "h2" else Origin
        tls = None
        if name == "tls":
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(*issue("fuzz.test").write(self.folder, "origin"))
        served = kind(self.book, f"{self.seed}/{name}")
        server = await asyncio.start_server(served.serve, "127.0.0.1", 0, ssl=tls, backlog=512)
        await stack.enter_async_context(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _rounds(self, until: float) -> None:
        first = self.only or 0
        await self._round(range(first, first + (1 if self.only is not None else 8)), until)
        self._files, self._memory = self.target.files(), 0
        number = 8
        while self.only is None and not self.found and time.monotonic() < until:
            await self._round(range(number, number + ROUND), until)
            number += ROUND

    async def _round(self, numbers: range, until: float) -> None:
        """Run cases beside each other, and a polite client all the while."""
        waiting, names = list(reversed(numbers)), [f"{self.seed}.{number}" for number in numbers]
        over = asyncio.Event()
        polite = asyncio.create_task(self._polite(names, over))

        async def work() -> None:
            while waiting and (time.monotonic() < until or self.only is not None):
                await self._case(f"{self.seed}.{waiting.pop()}")

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        over.set()  # (no cancellation: asyncio's wait_for may swallow it)
        await polite
        await self._look(names)

    async def _case(self, name: str) -> None:
        case = Case(name, self.book, self.target.ports)
        self.cases += 1
        await self._judge(name, case.kind, case.run())

    async def _judge(self, name: str, kind: str, running: object) -> None:
        """Wait for what may fail only in the ways in which a hostile client's own session may."""
        try:
            await running  # type: ignore[misc]
        except (
            Wrong,
            TimeoutError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
        ) as error:
            text = f"{kind}: {type(error).__name__} {error}"
            self.found.append(Found(text, [name]))
        except (OSError, h2.exceptions.ProtocolError) as error:
            if not isinstance(error, OSError):
                self.found.append(Found(f"{kind}: {error!r}", [name]))

    async def _polite(self, names: list[str], over: asyncio.Event) -> None:
        """Ask on connections of its own until the round is over, and want every answer."""
        rng, number = random.Random(names[0]), 0
        while not over.is_set():
            number += 1
            case = Case(f"{names[0]}.polite.{number}", self.book, self.target.ports)
            try:
                await case.be_polite()
            except (Wrong, OSError, EOFError, asyncio.LimitOverrunError) as error:
                self.found.append(Found(f"a polite client: {type(error).__name__} {error}", names))
                return
            await asyncio.sleep(rng.random() / 10)

    async def _look(self, names: list[str]) -> None:
        """Note what origins and the process have seen and kept."""
        target = self.target
        self.found += [Found(what, names) for what in self.book.wrong]
        self.book.wrong.clear()
        end = time.monotonic() + QUIET_SECONDS
        while (left := await asyncio.to_thread(target.in_flight)) and time.monotonic() < end:
            await asyncio.sleep(0.2)
        if left:
            self.found.append(Found(f"{left} requests are never over", names))
        while self._files and target.files() > self._files and time.monotonic() < end:
            await asyncio.sleep(0.2)
        if self._files and (more := target.files() - self._files) > 0:
            self.found.append(Found(f"{more} files more than before are open", names))
        if self._memory and (more := target.memory() - self._memory) > MOST_GROWTH:
            self.found.append(Found(f"memory grew by {more // 2**20} MiB", names))
        self._memory = self._memory or (target.memory() if self._files else 0)
        if target.proxy.workers != target.workers:
            self.found.append(Found("a worker died", names))
        self.found += [Found(f"the log: {line}", names) for line in target.new_errors()]


def fuzz(seed: int, seconds: float, folder: Path, only: int | None = None) -> Fuzz:
    """Run, and return what came of it."""
    run = Fuzz(seed, folder, only)
    asyncio.run(run.run(seconds))
    return run


__all__ = ["LIMIT", "Fuzz", "fuzz"]
