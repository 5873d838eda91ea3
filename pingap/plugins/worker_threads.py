"""Blocking code in threads, whose number a limiter bounds."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar, cast

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

ResultT = TypeVar("ResultT")

_unlimited: Final[RunVar[anyio.CapacityLimiter]] = RunVar("pingap_unlimited")


class SharedLimiter:
    """A limiter of threads that everything in a worker shares.

    :param name: its purpose.
    :param most: number of threads at a time.
    """

    def __init__(self, name: str, most: int) -> None:
        self._most = most
        self._limiter: RunVar[anyio.CapacityLimiter] = RunVar(f"pingap_{name}")

    def get(self) -> anyio.CapacityLimiter:
        """Return the limiter of this worker."""
        return _of_this_loop(self._limiter, self._most)


def _of_this_loop(var: RunVar[anyio.CapacityLimiter], most: float) -> anyio.CapacityLimiter:
    try:
        return var.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(most)
        var.set(limiter)
        return limiter


async def in_thread(limiter: anyio.CapacityLimiter, call: Callable[[], ResultT]) -> ResultT:
    """Run a function in a thread and return its result.

    If the caller is cancelled, a running function continues. Unlike ``anyio.to_thread.run_sync`` alone, it
    keeps its place in the limiter until it has ended.

    :raises Exception: any exception of the function.
    """
    borrower = object()
    to_run = [
        call
    ]  # taken by the thread, or by us if no thread has started yet (``pop`` is atomic)
    loop = asyncio.get_running_loop()

    def run() -> ResultT | None:
        try:
            taken = to_run.pop()
        except IndexError:
            return None  # cancelled just now
        try:
            return taken()
        finally:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(limiter.release_on_behalf_of, borrower)

    try:
        limiter.acquire_on_behalf_of_nowait(borrower)
    except anyio.WouldBlock:
        await limiter.acquire_on_behalf_of(borrower)
    try:
        result = await anyio.to_thread.run_sync(run, limiter=_of_this_loop(_unlimited, math.inf))
    except BaseException:
        with suppress(IndexError):
            to_run.pop()
            limiter.release_on_behalf_of(borrower)
        raise
    return cast("ResultT", result)
