"""Messages between the workers of one instance, as plugins use them.

Every worker gets every message, including the one that publishes it. A retained message is also delivered
to later subscribers in any worker, if it is the last one of its topic.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Self

import anyio

from pingap.shared_state.bus import Bus

LONGEST_TOPIC: Final = 256
LARGEST_VALUE: Final = 64 * 1024
MOST_WAITING: Final = 1000
"""Messages that wait for a subscriber; beyond that, the oldest one is dropped."""

_KEY: Final = "message:"


@dataclass(frozen=True, slots=True)
class Message:
    """A published message.

    :param topic: as given to ``publish``.
    :param value: the bytes.
    """

    topic: str
    value: bytes


class MessageBus:
    """Publishes and subscribes to messages.

    :param bus: transports them.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def publish(self, topic: str, value: bytes, *, retain: bool = False) -> None:
        """Send a message to all workers. Subscribers in this worker get it at once.

        :param topic: at most 256 characters; begin it with the name of your distribution.
        :param value: at most 64 KiB.
        :param retain: also deliver it to later subscribers, until the next message of the topic. Up to
            10,000 topics are retained.
        :raises ValueError: the topic or the value is too long.
        """
        if not 0 < len(topic) <= LONGEST_TOPIC:
            raise ValueError(f"a topic has 1 to {LONGEST_TOPIC} characters, not {len(topic)}")
        if len(value) > LARGEST_VALUE:
            raise ValueError(f"a message has at most {LARGEST_VALUE} bytes, not {len(value)}")
        self._bus.publish(_KEY + topic, value.decode("latin-1"), retain=retain)

    def subscribe(self, prefix: str) -> Subscription:
        """Return a subscription to all topics that begin with a prefix.

        Close it, or use it as a context manager::

            with worker.bus.subscribe("my-cache/purge") as messages:
                async for message in messages:
                    ...
        """
        return Subscription(self._bus, _KEY + prefix)


class Subscription:
    """Messages, in the order in which each worker published them; made by ``subscribe``."""

    def __init__(self, bus: Bus, prefix: str) -> None:
        self._waiting: deque[Message] = deque()
        self._arrived = anyio.Event()
        self._closed = False
        self.missed = 0
        """Number of messages dropped because too many were waiting."""
        self._unsubscribe = bus.subscribe(prefix, self._take)

    def _take(self, key: str, value: str) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self.missed += 1
        self._waiting.append(Message(key.removeprefix(_KEY), value.encode("latin-1")))
        self._arrived.set()

    def close(self) -> None:
        """Stop receiving; a pending wait for the next message ends."""
        if not self._closed:
            self._closed = True
            self._unsubscribe()
            self._arrived.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._arrived = anyio.Event()
            await self._arrived.wait()
        return self._waiting.popleft()
