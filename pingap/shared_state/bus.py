"""A bus between the workers of one instance: what one publishes, all are told.

A value belongs to a key, and the last one counts: a worker that starts later is told the last
value of every key. With one worker everything happens in the process itself.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Final, TypeAlias

log = logging.getLogger("pingap")

MOST_VALUES: Final = 10_000
"""Values of one kind that are kept; with more, the oldest one is forgotten."""

Subscriber: TypeAlias = Callable[[str, str], None]


class Bus:
    """Keys with values that all workers know."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        """Key -> last value."""
        self._count: Counter[str] = Counter()
        """Kind, which is what stands in front of a key's first colon -> values of that kind."""
        self._subscribers: list[tuple[str, Subscriber]] = []
        self.send: Callable[[str, str, bool], None] | None = None
        """Passes a value, and whether it is kept, on to the other workers; None where there are none."""

    def publish(self, key: str, value: str, *, retain: bool = True) -> None:
        """Tell all workers the new value of a key; subscribers here are called at once.

        :param retain: keep the value for those who subscribe later.
        """
        self.deliver(key, value, retain=retain)
        if self.send is not None:
            self.send(key, value, retain)

    def subscribe(self, prefix: str, subscriber: Subscriber) -> Callable[[], None]:
        """Have a function called with key and value, for keys that begin with a prefix.

        It is called at once for the values that are known.

        :returns: ends the subscription.
        """
        entry = (prefix, subscriber)
        self._subscribers.append(entry)
        for key, value in list(self.values.items()):
            if key.startswith(prefix):
                _tell(subscriber, key, value)
        return lambda: self._subscribers.remove(entry)

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Forget the values of all other keys than these, here; other workers do it themselves."""
        for key in [key for key in self.values if not wanted(key)]:
            self.forget(key)

    def forget(self, key: str) -> None:
        """Forget the value of a key, here."""
        if self.values.pop(key, None) is not None:
            self._count[_kind(key)] -= 1

    def deliver(self, key: str, value: str, retain: bool = True) -> None:
        """Take a value, from here or from another worker, and tell the subscribers."""
        if retain:
            self.forget(key)  # so that the oldest one is the first
            self.values[key] = value
            self._bound(_kind(key))
        for prefix, subscriber in list(self._subscribers):
            if key.startswith(prefix):
                _tell(subscriber, key, value)

    def _bound(self, kind: str) -> None:
        """Count another value of a kind; with too many, the oldest of that kind is forgotten."""
        self._count[kind] += 1
        if self._count[kind] > MOST_VALUES:
            self.forget(next(one for one in self.values if _kind(one) == kind))


def _kind(key: str) -> str:
    return key.partition(":")[0]


def _tell(subscriber: Subscriber, key: str, value: str) -> None:
    try:
        subscriber(key, value)
    except Exception:  # it must cost neither the other subscribers nor the worker
        log.exception("a subscriber of the bus failed at the key %r", key)
