"""Requests in progress over several machines.

A slot is a member of a set in Redis, for 30 seconds; the worker whose request it is renews it. So slots of a
machine that died become free. If it is not known whether Redis did what it was asked for, slots are given back
once more.
"""

from __future__ import annotations

import secrets
import time
from typing import Final

import anyio

from pingap import BackgroundTasks
from pingap_limit.redis_calls import RedisCalls
from pingap_limit.standing import StorageAway

_LEASE: Final = 30.0
_RENEWED_EVERY: Final = 10.0
_PAUSE: Final = 0.25
"""Seconds after which it is tried again to give slots back."""
_MOST_AT_ONCE: Final = 16
"""Slots that are renewed or given back at the same time."""


class RedisSlot:
    """The place of a request in progress."""

    __slots__ = ("_slots", "key", "name", "renewed_at")

    def __init__(self, slots: RedisSlots, key: str) -> None:
        self._slots = slots
        self.key = key
        self.name = secrets.token_hex(8)
        self.renewed_at = time.monotonic()

    def release(self) -> None:
        """Give the place back, shortly after."""
        self._slots.release(self)


class RedisSlots:
    """The places of a limit over all machines.

    :param most: number of places for each key.
    """

    def __init__(self, calls: RedisCalls, most: int) -> None:
        self._calls = calls
        self._most = most
        self._held: set[RedisSlot] = set()
        self._left: list[RedisSlot] = []
        self._someone_left = anyio.Event()

    def start(self, tasks: BackgroundTasks) -> None:
        """Begin to renew slots and to give them back."""
        tasks.start_service(self._renew)
        tasks.start_service(self._give_back)

    async def enter(self, key: str) -> RedisSlot | int:
        """Take a place; or return the number of requests in progress if there is none.

        :raises StorageAway: nobody knows.
        """
        slot = RedisSlot(self, key)
        arguments = [self._most, round(_LEASE * 1000), slot.name]
        try:
            passed, count = await self._calls.call("enter", key, arguments)
        except BaseException:  # no answer in time, or the client left: Redis may have counted it
            self.release(slot)
            raise
        if not passed:
            return int(count)
        self._held.add(slot)
        return slot

    def release(self, slot: RedisSlot) -> None:
        """Give a place back, shortly after."""
        self._held.discard(slot)
        self._left.append(slot)
        self._someone_left.set()

    async def give_back_all(self) -> None:
        """Give back what has been released, as long as Redis is there."""
        while self._left and not self._calls.is_away:
            some, self._left = self._left[:_MOST_AT_ONCE], self._left[_MOST_AT_ONCE:]
            async with anyio.create_task_group() as group:
                for slot in some:
                    group.start_soon(self._leave, slot)

    async def _give_back(self) -> None:
        while True:
            await self._someone_left.wait()
            self._someone_left = anyio.Event()
            await self.give_back_all()
            if self._left:
                self._someone_left.set()
                await anyio.sleep(_PAUSE)

    async def _leave(self, slot: RedisSlot) -> None:
        try:
            await self._calls.call("leave", slot.key, [slot.name])
        except StorageAway:  # which was logged; it is tried again until its lease has ended
            if time.monotonic() < slot.renewed_at + _LEASE:
                self._left.append(slot)

    async def _renew(self) -> None:
        while True:
            await anyio.sleep(_RENEWED_EVERY / 4)
            due = time.monotonic() - _RENEWED_EVERY
            old = [slot for slot in self._held if slot.renewed_at < due]
            for start in range(0, len(old), _MOST_AT_ONCE):
                async with anyio.create_task_group() as group:
                    for slot in old[start : start + _MOST_AT_ONCE]:
                        group.start_soon(self._renew_one, slot)

    async def _renew_one(self, slot: RedisSlot) -> None:
        if slot not in self._held:  # it has been released in the meantime
            return
        try:
            await self._calls.call("renew", slot.key, [round(_LEASE * 1000), slot.name])
        except StorageAway:  # which was logged; it is tried again
            return
        slot.renewed_at = time.monotonic()
        if slot not in self._held:  # released while it was renewed: its place is taken again
            self._left.append(slot)
            self._someone_left.set()
