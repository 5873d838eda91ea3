"""A bus between the workers of one instance: all workers receive what one publishes.

A value belongs to a key, and only the last one is kept: a worker that starts later receives the last value
of every key. With one worker, everything happens within the process.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Final, TypeAlias

log = logging.getLogger("pingap")

MOST_VALUES: Final = 10_000
"""Values of one kind that are kept; beyond that, the oldest one is dropped."""

Subscriber: TypeAlias = Callable[[str, str], None]


class Bus:
    """Keys with values that all workers know."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        """Key -> last value."""
        self._count: Counter[str] = Counter()
        """Kind (the part of a key before its first colon) -> values of that kind."""
        self._subscribers: list[tuple[str, Subscriber]] = []
        self.send: Callable[[str, str, bool], None] | None = None
        """Passes a value on to the other workers, and whether to keep it; None if there are none."""

    def publish(self, key: str, value: str, *, retain: bool = True) -> None:
        """Publish the new value of a key to all workers; subscribers in this worker are called at once.

        :param retain: keep the value for later subscribers.
        """
        self.deliver(key, value, retain=retain)
        if self.send is not None:
            self.send(key, value, retain)

    def subscribe(self, prefix: str, subscriber: Subscriber) -> Callable[[], None]:
        """Subscribe a function to all keys with a prefix; it is called with key and value.

        It is called at once for the values that are known.

        :returns: a function that ends the subscription.
        """
        entry = (prefix, subscriber)
        self._subscribers.append(entry)
        for key, value in list(self.values.items()):
            if key.startswith(prefix):
                _tell(subscriber, key, value)
        return lambda: self._subscribers.remove(entry)

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Drop the values of all other keys in this worker; other workers do so themselves."""
        for key in [key for key in self.values if not wanted(key)]:
            self.forget(key)

    def forget(self, key: str) -> None:
        """Drop the value of a key in this worker."""
        if self.values.pop(key, None) is not None:
            self._count[_kind(key)] -= 1

    def deliver(self, key: str, value: str, retain: bool = True) -> None:
        """Accept a value, from this or another worker, and pass it to the subscribers."""
        if retain:
            self.forget(key)  # so that the oldest value stays first
            self.values[key] = value
            self._bound(_kind(key))
        for prefix, subscriber in list(self._subscribers):
            if key.startswith(prefix):
                _tell(subscriber, key, value)

    def _bound(self, kind: str) -> None:
        """Count another value of a kind; if there are too many, the oldest of that kind is dropped."""
        self._count[kind] += 1
        if self._count[kind] > MOST_VALUES:
            self.forget(next(one for one in self.values if _kind(one) == kind))


def _kind(key: str) -> str:
    return key.partition(":")[0]


def _tell(subscriber: Subscriber, key: str, value: str) -> None:
    try:
        subscriber(key, value)
    except Exception:  # must affect neither the other subscribers nor the worker
        log.exception("a subscriber of the bus failed at the key %r", key)
