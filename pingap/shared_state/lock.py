"""A lock that tasks of all workers can wait for, and that always expires."""

from __future__ import annotations

import math
import random
import time
from types import TracebackType
from typing import Final, Protocol, Self

import anyio

_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.1
_GROWTH: Final = 1.5


class Locks(Protocol):
    """The register of held locks."""

    def take(self, key: str, seconds: float) -> int:
        """Take a lock; return a number that proves it, or 0 if it is held elsewhere."""

    def holds(self, key: str, proof: int) -> bool:
        """Return whether the proof is still valid and the lock has not expired."""

    def give_back(self, key: str, proof: int) -> None:
        """Release a lock, unless it has already been taken by others."""


class SharedLock:
    """A lock among all tasks of all workers; made by :meth:`SharedState.lock`.

    Waiting checks the lock after 2 ms and then less and less often, at least every 100 ms; the order of
    waiting tasks is not preserved. A lock object can be entered again after it was left.
    """

    def __init__(self, locks: Locks, key: str, seconds: float) -> None:
        if not 0 < seconds < math.inf:
            raise ValueError(f"a lock for {seconds} s: expected a positive number")
        self._locks = locks
        self._key = key
        self._seconds = seconds
        self._proof = 0

    @property
    def is_held(self) -> bool:
        """Whether this object still has the lock; False once its ``seconds`` have passed."""
        return self._proof != 0 and self._locks.holds(self._key, self._proof)

    async def __aenter__(self) -> Self:
        """Wait for the lock.

        :raises RuntimeError: this object already holds it.
        """
        if self._proof:
            raise RuntimeError("the lock is held by this object already")
        pause = _FIRST_PAUSE
        while not (proof := self._locks.take(self._key, self._seconds)):
            await anyio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)
        self._proof = proof
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        proof, self._proof = self._proof, 0
        self._locks.give_back(self._key, proof)


class LocalLocks:
    """The locks of the only worker.

    :param most: locks that can be held at the same time.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.held: dict[str, tuple[int, float]] = {}
        """Key -> proof and the time from which others may take it."""
        self._taken = 0

    def take(self, key: str, seconds: float) -> int:
        """See ``Locks``; also 0 while too many others are held."""
        now = time.monotonic()
        if (held := self.held.get(key)) is not None and held[1] > now:
            return 0
        if len(self.held) >= self.most and key not in self.held:
            self.held = {one: entry for one, entry in self.held.items() if entry[1] > now}
            if len(self.held) >= self.most:
                return 0
        self._taken += 1
        self.held[key] = (self._taken, now + seconds)
        return self._taken

    def holds(self, key: str, proof: int) -> bool:
        """See ``Locks``."""
        held = self.held.get(key)
        return held is not None and held[0] == proof and held[1] > time.monotonic()

    def give_back(self, key: str, proof: int) -> None:
        """See ``Locks``."""
        if (held := self.held.get(key)) is not None and held[0] == proof:
            del self.held[key]
