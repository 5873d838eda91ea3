"""Which entries stay in memory: S3-FIFO, by bytes.

Entries enter a small queue, of a tenth of the budget. At its end, those that were asked for again go on
to the main queue, and the others are evicted, but their keys are remembered for a while: if one comes
back, it enters the main queue directly. So a scan, which asks for everything once, passes through the
small queue and leaves the main one alone. At the end of the main queue, what was used goes round once
more. A hit changes one small number and moves nothing.

Yang, Zhang, Qiu, Yue, Rashmi: FIFO queues are all you need for cache eviction (SOSP 2023).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from pingap_cache.stores.kept import Kept

MOST_USES: Final = 3
"""Uses that are counted: how often an entry goes round in the main queue."""
SMALL_SHARE: Final = 10
"""The small queue has this part of the budget: a tenth."""
GHOST: Final = 200
"""Bytes that a remembered key takes."""
FORGOTTEN: Final = 4
"""Keys that are forgotten in one step, if there are too many: after a purge, that may be all."""


class _Walk:
    """How far a walk through a queue has come."""

    def __init__(self, ahead: Kept | None) -> None:
        self.ahead = ahead


class Queue:
    """Members from the oldest to the newest, linked with each other; any can be taken out."""

    def __init__(self) -> None:
        self._walks: list[_Walk] = []
        self.charge = 0
        self.count = 0
        self.oldest: Kept | None = None
        self._newest: Kept | None = None

    def append(self, member: Kept) -> None:
        """Add a member as the newest one."""
        member.older, member.newer = self._newest, None
        if self._newest is None:
            self.oldest = member
        else:
            self._newest.newer = member
        self._newest = member
        self.charge += member.charge
        self.count += 1

    def take(self, member: Kept) -> None:
        """Take a member out."""
        older, newer = member.older, member.newer
        for walk in self._walks:
            if walk.ahead is member:
                walk.ahead = newer
        if older is None:
            self.oldest = newer
        else:
            older.newer = newer
        if newer is None:
            self._newest = older
        else:
            newer.older = older
        member.older = member.newer = None
        self.charge -= member.charge
        self.count -= 1

    def swap(self, member: Kept, other: Kept) -> None:
        """Put another member in the place of one."""
        other.older, other.newer = member.older, member.newer
        for walk in self._walks:
            if walk.ahead is member:
                walk.ahead = other
        if other.older is None:
            self.oldest = other
        else:
            other.older.newer = other
        if other.newer is None:
            self._newest = other
        else:
            other.newer.older = other
        member.older = member.newer = None
        self.charge += other.charge - member.charge

    def walk(self) -> Iterator[Kept]:
        """Yield the members from the oldest on; they may be added and taken out meanwhile."""
        walk = _Walk(self.oldest)
        self._walks.append(walk)
        try:
            while (member := walk.ahead) is not None:
                walk.ahead = member.newer
                yield member
        finally:
            self._walks.remove(walk)


class S3Fifo:
    """The queues.

    :param budget: bytes that members, and what is reserved, may take.
    :param most: members that there are at most.
    :param evicted: called with each member that had to make room, or was cleared.
    """

    def __init__(self, budget: int, most: float, evicted: Callable[[Kept], None]) -> None:
        self.budget = budget
        self._most = most
        self._evicted = evicted
        self.members: dict[bytes, Kept] = {}
        """All members by key."""
        self.reserved = 0
        """Bytes of entries that are being written."""
        self.evictions = 0
        self._small: Queue = Queue()
        self._main: Queue = Queue()
        self._ghosts: dict[int, int] = {}
        self._ghost_order: deque[tuple[int, int]] = deque()
        self._ghost_number = 0
        self._cleared: list[dict[bytes, Kept]] = []

    @property
    def used(self) -> int:
        """Bytes that everything takes."""
        return (
            self._small.charge + self._main.charge + self.reserved + GHOST * len(self._ghost_order)
        )

    def add(self, member: Kept) -> None:
        """Add a member, in place of one with the same key; ``make_room`` afterwards."""
        if (old := self.members.get(member.key)) is not None:
            member.in_main, member.uses = old.in_main, old.uses
            (self._main if old.in_main else self._small).swap(old, member)
        else:
            member.in_main = self._ghosts.pop(hash(member.key), None) is not None
            (self._main if member.in_main else self._small).append(member)
        self.members[member.key] = member

    def remove(self, member: Kept) -> None:
        """Take a member out."""
        (self._main if member.in_main else self._small).take(member)
        del self.members[member.key]

    def walk(self) -> Iterator[Kept]:
        """Yield all members; they may be added and removed meanwhile.

        One that is there all the time is yielded at least once: members move towards the end of their
        queue, or from the small one to the end of the main one, which comes second.
        """
        yield from self._small.walk()
        yield from self._main.walk()

    def clear(self) -> None:
        """Take all members out; ``members`` is another dictionary afterwards.

        They are linked with each other, and to free many takes long: ``make_room`` does that.
        """
        if self.members:
            self._cleared.append(self.members)
            self.members, self._small, self._main = {}, Queue(), Queue()

    def make_room(self, steps: int) -> bool:
        """Evict until the budget holds, in so many short steps at most; return whether it does."""
        while self._cleared:
            if not steps:
                return False
            steps -= 1
            self._free()
        while self.used > self.budget or len(self.members) > self._most:
            if not self.members and not self._ghost_order:
                return True  # all of it is being written
            if not steps:
                return False
            steps -= 1
            self._step()
        return True

    def _free(self) -> None:
        """Free a member that was cleared."""
        _, member = self._cleared[-1].popitem()
        member.older = member.newer = None
        self._evicted(member)
        if not self._cleared[-1]:
            self._cleared.pop()

    def _step(self) -> None:
        """Look at one member: evict it, or let it stay because it was used."""
        small, main = self._small.oldest, self._main.oldest
        if small is not None and (main is None or self._small_is_full()):
            self._small.take(small)
            if small.uses > 1:
                small.uses, small.in_main = 0, True
                self._main.append(small)
            else:
                self._drop(small)
                self._remember(small.key)
        elif main is not None:
            self._main.take(main)
            if main.uses:
                main.uses -= 1
                self._main.append(main)
            else:
                self._drop(main)
        self._forget()

    def _small_is_full(self) -> bool:
        return (
            self._small.charge * SMALL_SHARE >= self.budget
            or self._small.count * SMALL_SHARE >= self._most
        )

    def _drop(self, member: Kept) -> None:
        del self.members[member.key]
        self.evictions += 1
        self._evicted(member)

    def _remember(self, key: bytes) -> None:
        self._ghost_number += 1
        self._ghosts[hash(key)] = self._ghost_number
        self._ghost_order.append((hash(key), self._ghost_number))

    def _forget(self) -> None:
        """Forget the oldest keys: as many are remembered as there are members, in the end."""
        for _ in range(FORGOTTEN):
            if len(self._ghost_order) <= len(self.members):
                break
            key, number = self._ghost_order.popleft()
            if self._ghosts.get(key) == number:
                del self._ghosts[key]
