"""Whose turn it is to fetch: one request for each key, in this worker, and over all workers of a disk.

Among workers a claim stands in the shared state for as long as ``lock`` says, so that a worker that
dies, or is slow, holds nobody up for longer.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pingap_cache.fills import Fill, Fills, State

if TYPE_CHECKING:
    from pingap import SharedState

_TABLE: Final = "pingap-cache:fills"


class Turns:
    """Who fetches what.

    :param seconds: how long a request waits for another one; 0: not at all.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.fills = Fills()
        self.shared: SharedState | None = None
        """Where workers tell each other, if they share a store."""
        self._claimed: set[bytes] = set()
        self._token = f"{os.getpid()}.{secrets.token_hex(4)}".encode()

    def take(self, key: bytes, seconds: float = 0.0) -> Fill | None:
        """Return the fill that begins now, or None if another request, of any worker, fetches already.

        :param seconds: for which other workers leave it to this one; 0: as long as requests wait.
        """
        if self.fills.find(key) is not None:
            return None
        shared, seconds = self.shared, seconds or self.seconds
        if shared is not None and seconds:
            claims = shared.values(_TABLE)
            if not claims.add(key.decode("latin-1"), self._token, seconds):
                return None
            self._claimed.add(key)
        return self.fills.begin(key)

    def take_over(self, key: bytes) -> Fill:
        """Return a fill that begins now, although another one may be under way."""
        return self.fills.begin(key)

    def is_taken_elsewhere(self, key: bytes) -> bool:
        """Return whether another worker fetches a key."""
        if self.shared is None:
            return False
        return self.shared.values(_TABLE).get(key.decode("latin-1")) is not None

    def end(self, fill: Fill, state: State) -> None:
        """Let others know what has become of a fill."""
        if fill.state in (State.ASKING, State.FLOWING):
            self._release(fill)
        self.fills.end(fill, state)

    def _release(self, fill: Fill) -> None:
        """Take back the claim of a fill."""
        if self.shared is not None and fill.key in self._claimed:
            self._claimed.discard(fill.key)
            claims, name = self.shared.values(_TABLE), fill.key.decode("latin-1")
            if claims.get(name) == self._token:
                claims.delete(name)

    def forget(self, is_meant: Callable[[Fill], bool]) -> None:
        """Let nobody wait any more for fills that bring what was purged meanwhile."""
        for fill in self.fills.forget(is_meant):
            self._release(fill)

    def give_up(self, fill: Fill) -> None:
        """End a fill whose request is over."""
        self.end(fill, State.FAILED)
