"""From the results of single checks to what is thought of a backend; no IO, no clock."""

from __future__ import annotations


class Standing:
    """What is thought of a backend. It takes several results in a row to change that.

    :param success: good results that make it healthy.
    :param failure: bad results that make it unhealthy.
    :param healthy: what is thought of it at first.
    """

    __slots__ = ("_against", "_failure", "_success", "healthy")

    def __init__(self, success: int, failure: int, *, healthy: bool = True) -> None:
        self.healthy = healthy
        self._success = success
        self._failure = failure
        self._against = 0  # results in a row that say the contrary

    def note(self, good: bool) -> bool:
        """Take a result; tell whether it changed what is thought."""
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
