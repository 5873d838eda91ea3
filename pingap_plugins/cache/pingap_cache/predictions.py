"""What could not be stored lately: no request has to wait for another one that fetches the same."""

from __future__ import annotations

import time
from typing import Final

MOST: Final = 10_000
"""Keys that are remembered."""
SECONDS: Final = 120.0
"""How long."""


class Predictions:
    """Keys of responses that could not be stored, with the reason.

    :param enabled: whether they count for anything but ``pingap cache why``.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._reasons: dict[bytes, tuple[float, str]] = {}

    def predicts(self, key: bytes) -> bool:
        """Return whether the response to a request will probably not be stored."""
        return self._enabled and key in self._reasons and self.reason(key) is not None

    def reason(self, key: bytes) -> str | None:
        """Return why the last response was not stored, if it was not."""
        found = self._reasons.get(key)
        if found is None:
            return None
        if found[0] < time.monotonic():
            del self._reasons[key]
            return None
        return found[1]

    def note(self, key: bytes, reason: str) -> None:
        """Remember a response that could not be stored."""
        self._reasons.pop(key, None)
        if len(self._reasons) >= MOST:
            del self._reasons[next(iter(self._reasons))]
        self._reasons[key] = (time.monotonic() + SECONDS, reason)

    def forget(self, key: bytes) -> None:
        """Record that a response can be stored."""
        if self._reasons:
            self._reasons.pop(key, None)
