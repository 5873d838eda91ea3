"""Detects code that blocks the event loop, and logs its stack.

A thread examines 20 times a second what the loop's thread is doing. This adds nothing to a request, and a
loop that waits for events is not disturbed. Only if a callback is running is the loop asked to respond; if it
still has not while the same callback runs, that callback blocks it. A late timer alone would also blame the
last of many short callbacks.

C code that holds the GIL stops this thread as well. If it wakes up too late, it trusts its findings, provided
that the loop's thread has been computing and not only waiting for a processor.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import selectors
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

import anyio

log = logging.getLogger("pingap")

LIMIT_SECONDS: Final = 0.1
"""How long a callback may run."""
REPEAT_SECONDS: Final = 10.0
"""Minimum interval between log lines of one place."""
_PAUSE: Final = 0.05
# A callback may have begun a whole pause before it was first seen: none over the limit is missed, and one
# under it by less than a pause may be logged, too.
_SEEN_SECONDS: Final = LIMIT_SECONDS - _PAUSE
_SHOWN_FRAMES: Final = 12
_MOST_PLACES: Final = 256

_OURS: Final = tuple(
    f"{folder}{os.sep}"
    for folder in (
        Path(__file__).parents[1],
        *(Path(str(module.__file__)).parent for module in (anyio, asyncio)),
    )
)
"""The code between the loop and the code of plugins."""
_WAITING: Final = selectors.__file__


class _Suspect:
    """A callback that was seen running, until the loop responds."""

    __slots__ = ("answered_at", "frame_id", "seen_again", "seen_at", "told")

    def __init__(self, frame: FrameType, seen_at: float) -> None:
        self.frame_id = id(frame)
        self.seen_at = seen_at
        self.seen_again = False
        self.answered_at = 0.0
        self.told = False

    def answer(self, frame: FrameType) -> None:
        """Called by the loop.

        :param frame: of the callback. It lives as long as this call is pending, so its ID is not that of
            another one; and it is released by its own thread.
        """
        self.answered_at = time.monotonic()


class Watchdog:
    """Watches the loop of the thread that creates it, between ``start`` and ``stop``."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._machinery: frozenset[CodeType] | None = None
        self._suspect: _Suspect | None = None
        self._told_at: dict[str, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="pingap-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._loop.call_soon(self._learn)
        self._thread.start()

    def stop(self) -> None:
        """Stop; returns when the thread has ended. Without ``start`` it does nothing."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _learn(self) -> None:
        """Remember the frames below every callback: the code that runs the loop."""
        codes = set()
        frame = sys._getframe().f_back
        while frame is not None:
            codes.add(frame.f_code)
            frame = frame.f_back
        self._machinery = frozenset(codes)

    def _watch(self) -> None:
        pause, woken, computed = _PAUSE, time.monotonic(), 0.0
        while not self._ended.wait(pause):
            due, woken = woken + pause, time.monotonic()
            before, computed = computed, _cpu_seconds(self._thread_id)
            held_up = computed - before > LIMIT_SECONDS
            self._look(since=due if held_up else woken)
            suspect = self._suspect
            pause = _PAUSE / 2 if suspect is not None and suspect.seen_again else _PAUSE

    def _look(self, since: float) -> None:
        """Examine what the loop is doing.

        :param since: earliest start of a callback that is now seen for the first time.
        """
        now, stack = time.monotonic(), self._stack()
        suspect = self._suspect
        if suspect is not None:
            if stack and not suspect.answered_at and suspect.frame_id == id(stack[0]):
                suspect.seen_again = True
            else:
                if suspect.told:
                    seconds = (suspect.answered_at or now) - suspect.seen_at
                    log.warning("the event loop continues after %.2f s", seconds)
                suspect = self._suspect = None
        if suspect is None and stack:
            suspect = self._suspect = _Suspect(stack[0], since)
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(suspect.answer, stack[0])
        if suspect is not None and not suspect.told and now - suspect.seen_at >= _SEEN_SECONDS:
            suspect.told = self._tell(stack, now)

    def _stack(self) -> list[FrameType]:
        """Return the frames of the running callback, outermost first; empty if the loop waits."""
        frame = sys._current_frames().get(self._thread_id)
        if frame is None or self._machinery is None or frame.f_code.co_filename == _WAITING:
            return []
        frames = []
        while frame is not None:
            frames.append(frame)
            frame = frame.f_back
        while frames and frames[-1].f_code in self._machinery:
            frames.pop()
        frames.reverse()
        return frames

    def _tell(self, stack: list[FrameType], now: float) -> bool:
        """Log a stack, unless its place was logged recently."""
        shown = list(_interesting(stack))
        first = shown[0]
        place = f"{first.f_code.co_filename}:{first.f_lineno}"
        if now - self._told_at.get(place, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        if len(self._told_at) >= _MOST_PLACES:
            self._told_at.clear()
        self._told_at[place] = now
        lines = traceback.StackSummary.extract(
            ((frame, frame.f_lineno) for frame in shown), limit=-_SHOWN_FRAMES
        )
        log.warning(
            "%s (%s) blocks the event loop for more than %d ms, and every request with it; what"
            " blocks belongs in a thread (anyio.to_thread.run_sync)\n%s",
            first.f_code.co_qualname,
            place,
            LIMIT_SECONDS * 1000,
            "".join(lines.format()).rstrip(),
        )
        return True


def _interesting(stack: list[FrameType]) -> Iterator[FrameType]:
    """Omit the frames in front of those of plugins, unless there are no others."""
    ours = 0
    for frame in stack:
        if not frame.f_code.co_filename.startswith(_OURS):
            break
        ours += 1
    return iter(stack[ours:] or stack)


def _cpu_seconds(thread_id: int) -> float:
    """Return how long a thread has been computing, or how long it has existed if the system does not report it."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return time.monotonic()
    return time.clock_gettime(time.pthread_getcpuclockid(thread_id))
