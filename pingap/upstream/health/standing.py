"""Derives the health of a backend from the results of single checks; no IO, no clock."""

from __future__ import annotations


class Standing:
    """The health of a backend. It takes several consecutive results to change it.

    :param success: number of good results that make it healthy.
    :param failure: number of bad results that make it unhealthy.
    :param healthy: the initial state.
    """

    __slots__ = ("_against", "_failure", "_success", "healthy")

    def __init__(self, success: int, failure: int, *, healthy: bool = True) -> None:
        self.healthy = healthy
        self._success = success
        self._failure = failure
        self._against = 0  # consecutive results that contradict the state

    def note(self, good: bool) -> bool:
        """Record a result; return whether it changed the state."""
        if good is self.healthy:
            self._against = 0
            return False
        self._against += 1
        if self._against < (self._success if good else self._failure):
            return False
        self._against = 0
        self.healthy = good
        return True

    def __repr__(self) -> str:
        state = "healthy" if self.healthy else "unhealthy"
        return f"<Standing {state}, {self._against} against it>"
