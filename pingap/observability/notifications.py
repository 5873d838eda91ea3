"""Events that operators should know of: logged, and passed to the worker that handles them.

They travel on the bus as retained values, so that each process knows the events that no worker has begun to
handle: the leading worker takes one by announcing so, and its successor continues with the rest.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Final, Literal

from pingap.shared_state.bus import Bus

log = logging.getLogger("pingap")

Level = Literal["info", "warn", "error"]

INFO: Final[Level] = "info"
WARN: Final[Level] = "warn"
ERROR: Final[Level] = "error"

MOST_WAITING: Final = 100
"""Notifications that wait to be handled; beyond that, the oldest one is dropped."""
LARGEST: Final = 64 * 1024
"""Maximum size in bytes of a notification between processes; a longer detail is cut."""

# An error of a backend is not an error of pingap.
_LOG_LEVELS: Final = {"info": logging.INFO, "warn": logging.WARNING, "error": logging.WARNING}
_WAITING: Final = "notification/"
_TAKEN: Final = "notification-taken"
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Notification:
    """An event that operators should know of.

    :param kind: the category by which operators select events, such as ``backend_status``; begin your own
        kinds with the name of your distribution.
    :param message: one line.
    :param level: how serious it is.
    :param detail: the reason, or a longer text; may be empty.
    :param time: when it happened, in seconds since 1970.
    :param fields: additional data, such as the name of the upstream.
    :raises ValueError: no kind, or an unknown level.
    """

    kind: str
    message: str
    level: Level = WARN
    detail: str = ""
    time: float = field(default_factory=time.time)
    fields: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.kind:
            raise ValueError("a notification needs a kind")
        if self.level not in _LOG_LEVELS:
            levels = ", ".join(_LOG_LEVELS)
            raise ValueError(f"{self.level!r:.40} is not a level (levels: {levels})")


def notify(bus: Bus, event: Notification) -> None:
    """Log an event, and pass it to the worker that handles notifications.

    :raises ValueError: it is too large even without its detail.
    """
    publish(bus, event)
    log_event(event)


def log_event(event: Notification) -> None:
    """Log an event."""
    detail = f": {event.detail}" if event.detail else ""
    log.log(_LOG_LEVELS[event.level], "%s: %s%s", event.kind, event.message, detail)


def publish(bus: Bus, event: Notification) -> None:
    """Pass an event to the worker that handles notifications; it has already been logged.

    :raises ValueError: it is too large even without its detail.
    """
    bus.publish(f"{_WAITING}{os.getpid()}-{next(_numbers)}", _to_text(event))


def _to_text(event: Notification) -> str:
    values = {**asdict(event), "fields": dict(event.fields)}
    text = json.dumps(values)
    if len(text) > LARGEST:
        room = LARGEST - len(json.dumps({**values, "detail": ""}))
        # A character can take 12 bytes in JSON: one beyond the first 65,536.
        text = json.dumps({**values, "detail": event.detail[: max(room, 0) // 12]})
    if len(text) > LARGEST:
        raise ValueError(f"a notification has at most {LARGEST} bytes, not {len(text)}")
    return text


class WaitingNotifications:
    """Notifications that no worker has begun to handle, as known to one process.

    :param bus: transports them.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: dict[str, str] = {}
        self.dropped = 0
        """Number of notifications dropped here, because too many were waiting."""
        self.on_arrival: Callable[[], None] = lambda: None
        bus.subscribe(_WAITING, self._arrived)
        bus.subscribe(_TAKEN, lambda _, key: self._forget(key))

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> Notification | None:
        """Return the oldest one, which now belongs to this process; None if there is none."""
        if not self._waiting:
            return None
        key, text = next(iter(self._waiting.items()))
        self._bus.publish(_TAKEN, key, retain=False)
        return Notification(**json.loads(text))

    def _arrived(self, key: str, text: str) -> None:
        self._waiting[key] = text
        if len(self._waiting) > MOST_WAITING:
            self._forget(next(iter(self._waiting)))
            self.dropped += 1
        self.on_arrival()

    def _forget(self, key: str) -> None:
        self._waiting.pop(key, None)
        self._bus.forget(key)


def taken(key: str) -> tuple[str, str] | None:
    """Return key and value from a bus message about a taken notification; None for other keys."""
    return (_TAKEN, key) if key.startswith(_WAITING) else None
