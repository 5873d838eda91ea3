"""A sampler with almost no overhead: records the executing function every few milliseconds."""

from __future__ import annotations

import signal
from collections import Counter
from types import FrameType, TracebackType
from typing import Final

INTERVAL: Final = 0.004
"""Seconds of CPU time; the clock of the kernel is rarely finer."""


class Sampler:
    """Counts functions, as (module, name), each 4 ms of CPU time in the block.

    Time in C code counts for the Python function that called it. A signal is handled at the next
    call or loop, so some byte codes before a call count for the called function. Only in the main
    thread.
    """

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()

    @property
    def modules(self) -> Counter[str]:
        """The samples by module."""
        counted: Counter[str] = Counter()
        for (module, _), number in self.seen.items():
            counted[module] += number
        return counted

    def __enter__(self) -> Sampler:
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        # Code that was generated at run time belongs to no module: count it for its caller.
        while frame is not None and "__name__" not in frame.f_globals:
            frame = frame.f_back
        if frame is not None:
            self.seen[frame.f_globals["__name__"], frame.f_code.co_qualname] += 1
