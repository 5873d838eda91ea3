"""A worker with its own event loop in a thread, so that tests can be plain functions."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar

import anyio

from pingap.plugins.services import leaves
from pingap.worker.worker import Worker

T = TypeVar("T")

_UVLOOP: Final = importlib.util.find_spec("uvloop") is not None
_TURNS: Final = 12
"""Turns of the loop in which a connection is accepted, read and answered, with a margin."""
_LIMIT: Final = 20.0

_real_monotonic = time.monotonic
_running: list[WorkerThread] = []


def running() -> list[WorkerThread]:
    """Return the threads of all running workers."""
    return list(_running)


class _Loop(asyncio.SelectorEventLoop):
    """The asyncio loop where uvloop is missing: its timers follow real time, like those of uvloop."""

    def time(self) -> float:
        return _real_monotonic()


class WorkerThread:
    """Runs a worker whose sockets are bound.

    :param on_thread: called in the thread before anything else, with its number.
    :param leads: the worker leads from the start.
    """

    def __init__(
        self, worker: Worker, on_thread: Callable[[int], None], *, leads: bool = True
    ) -> None:
        self._worker = worker
        self._on_thread = on_thread
        self._leads = leads
        self._ready: Future[None] = Future()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: anyio.Event | None = None
        self._thread = threading.Thread(target=self._main, name="pingap.testing proxy", daemon=True)

    def start(self) -> None:
        """Return once connections are accepted.

        :raises PluginStartError: a plugin cannot start.
        """
        self._thread.start()
        try:
            self._ready.result(_LIMIT)
        except BaseException:
            self._thread.join(_LIMIT)
            raise
        _running.append(self)

    def _main(self) -> None:
        options: dict[str, Any] = {"use_uvloop": True} if _UVLOOP else {"loop_factory": _Loop}
        self._on_thread(threading.get_ident())
        try:
            anyio.run(self._serve, backend="asyncio", backend_options=options)
        except BaseException as error:  # raised in the thread that waits for this one
            every = list(leaves(error))
            self._error = every[0] if len(every) == 1 else error
        if not self._ready.done():
            self._ready.set_exception(self._error or RuntimeError("the proxy ended at once"))

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = anyio.Event()
        async with self._worker.serving():
            if self._leads:
                self._worker.lead()
            self._ready.set_result(None)
            await self._stop.wait()

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the loop, and return its result."""
        result: Future[T] = Future()

        def run() -> None:
            try:
                result.set_result(function())
            except BaseException as error:
                result.set_exception(error)

        assert self._loop is not None
        self._loop.call_soon_threadsafe(run)
        return result.result(_LIMIT)

    def run(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run an async function in the loop, and return its result."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(function(), self._loop).result(_LIMIT)

    def settle(self) -> None:
        """Return when the loop has handled everything that its sockets had received."""
        loop, done = self._loop, threading.Event()
        assert loop is not None

        def turn(left: int) -> None:
            if left:
                loop.call_soon(turn, left - 1)
            else:
                done.set()

        loop.call_soon_threadsafe(turn, _TURNS)
        if not done.wait(_LIMIT):
            raise AssertionError("the proxy does not answer: a plugin blocks its loop")

    def lead(self) -> None:
        """Let the worker lead."""
        self.call(self._worker.lead)
        self.settle()

    def follow(self) -> None:
        """Let the worker stop leading; return when everything of that has ended."""
        self.run(self._worker.follow)

    def sweep(self) -> None:
        """Let the worker check all time limits."""
        self.call(self._worker.sweep)

    def stop(self) -> None:
        """Cut requests in progress, let plugins shut down, and end the thread.

        :raises Exception: the worker ended with an error.
        """
        if self in _running:
            _running.remove(self)
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_LIMIT)
        if self._thread.is_alive():
            raise AssertionError("the proxy does not stop: a plugin blocks its loop")
        if self._error is not None:
            raise self._error
