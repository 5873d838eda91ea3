"""The storage of the records of one kind: a hash table in shared memory that needs few locks.

A region is an array of slots, in buckets of 16. The digest of a key determines the bucket of its record,
which is never stored anywhere else. So a search is limited to one bucket, and records come and go without
traces.

Each slot has an identity, one word: the digest of its key and a generation, which changes whenever the slot
is given to another key. Users of a record remember slot and identity; if the identity is unchanged, so is
the record. **Reading takes no lock.** Giving a slot to a key takes the lock of its bucket (``locks.py``), and
so does changing a record of a table.

A killed worker can leave behind:

- a lock: the kernel releases it.
- a slot that it was about to give to another key: it erased the old identity first and would have written
  the new one last, so the slot is free, and is cleared once more when it is given away.

This relies on the atomicity of reading and writing an aligned word of eight bytes. CPython copies the eight
bytes of an item of a ``memoryview`` with a ``memcpy`` of constant size, which compilers turn into one
instruction; x86-64 and ARM64 execute it atomically if the address is aligned. Nothing relies on the order in
which *different* words become visible to another processor: data that belongs together is in one word, or has
a check (``table.py``), and includes its generation. On ARM64 the clearing of a slot may, in theory, become
visible after its identity; then the first number that another worker adds at that moment can be lost.
"""

from __future__ import annotations

import sys
import time
from hashlib import blake2b
from typing import Final

from pingap.shared_state.locks import ProcessLocks
from pingap.shared_state.state import KindStats

WAYS: Final = 16
"""Slots per bucket."""

GENERATION_SHIFT: Final = 56
DIGEST: Final = (1 << GENERATION_SHIFT) - 1
"""The bits of an identity that are the digest; 0 if the slot is free."""

_GENERATIONS: Final = 255
"""Generations begin at 1, so that a word that was never written belongs to none."""

_DIGEST_SIZE: Final = 7
_DIGEST_AT: Final = 0 if sys.byteorder == "little" else 1
"""The position of the digest among the eight bytes of an identity."""

NOWHERE: Final = -1
"""The identity of a record that was not found."""


class Region:
    """The slots of one kind of records.

    :param words: the segment, as words.
    :param start: index of the region's first word.
    :param slots: their number, a multiple of 16.
    :param width: words per record.
    :param workers: maximum number of workers.
    :param first_lock: number of the lock of the first bucket.
    :param secret: 32 bytes that prevent attackers from choosing keys that fall into one bucket.
    """

    def __init__(
        self,
        words: memoryview,
        start: int,
        slots: int,
        width: int,
        workers: int,
        locks: ProcessLocks,
        first_lock: int,
        secret: bytes,
    ) -> None:
        self.slots = slots
        self.width = width
        self.workers = workers
        self.locks = locks
        self._first_lock = first_lock
        self._buckets = slots // WAYS
        self._salt, self._person = secret[:16], secret[16:]
        self._zeros = memoryview(bytes(8 * width)).cast("Q")
        parts = (slots, slots, workers, slots * width)
        ends = [start + sum(parts[: i + 1]) for i in range(4)]
        self.identities = words[start : ends[0]]
        self._identity_bytes = self.identities.cast("B")
        self.used_at = words[ends[0] : ends[1]]
        """Time of the last use, in units of about a millisecond."""
        self._evictions = words[ends[1] : ends[2]]
        self.data = words[ends[2] : ends[3]]

    @staticmethod
    def words_needed(slots: int, width: int, workers: int) -> int:
        """Return the size of a region."""
        return slots * (2 + width) + workers

    def place(self, key: str) -> tuple[int, int]:
        """Return bucket and digest of a key."""
        text = key.encode("utf-8", "surrogatepass")
        digest = blake2b(text, digest_size=16, salt=self._salt, person=self._person).digest()
        number = int.from_bytes(digest, "little")
        return (number >> 64) % self._buckets, (number & DIGEST) or 1

    def find(self, bucket: int, digest: int) -> tuple[int, int]:
        """Return slot and identity of a record; the identity is ``NOWHERE`` if there is none."""
        first = bucket * WAYS
        identities = bytes(self._identity_bytes[8 * first : 8 * (first + WAYS)])
        wanted = digest.to_bytes(_DIGEST_SIZE, sys.byteorder)
        at = identities.find(wanted)
        while at >= 0:
            if at % 8 == _DIGEST_AT:
                place = at - _DIGEST_AT
                identity = int.from_bytes(identities[place : place + 8], sys.byteorder)
                return first + place // 8, identity
            at = identities.find(wanted, at + 1)
        return first, NOWHERE

    def find_or_claim(self, bucket: int, digest: int, worker: int) -> tuple[int, int]:
        """Return slot and identity of a record, which is created if there is none."""
        slot, identity = self.find(bucket, digest)
        if identity != NOWHERE:
            return slot, identity
        self.lock(bucket)
        try:
            return self.claim(bucket, digest, worker)
        finally:
            self.unlock(bucket)

    def claim(self, bucket: int, digest: int, worker: int) -> tuple[int, int]:
        """Do the same; the lock of the bucket must be held."""
        slot, identity = self.find(bucket, digest)
        if identity != NOWHERE:
            return slot, identity
        slot = self._victim(bucket)
        old = self.identities[slot]
        if old & DIGEST:
            self._evictions[worker] += 1
        generation = (old >> GENERATION_SHIFT) % _GENERATIONS + 1
        # In this order: a process that dies in between leaves a free slot.
        self.identities[slot] = generation << GENERATION_SHIFT
        self.data[slot * self.width : (slot + 1) * self.width] = self._zeros
        self.used_at[slot] = tick()
        identity = generation << GENERATION_SHIFT | digest
        self.identities[slot] = identity
        return slot, identity

    def lock(self, bucket: int) -> None:
        """Wait for exclusive access to the slots of a bucket."""
        self.locks.acquire(self._first_lock + bucket)

    def unlock(self, bucket: int) -> None:
        """Release it."""
        self.locks.release(self._first_lock + bucket)

    def try_lock(self, bucket: int) -> bool:
        """Do the same as ``lock``, but return False instead of waiting."""
        return self.locks.try_acquire(self._first_lock + bucket)

    def free(self, slot: int) -> None:
        """Take a slot away from its key; its bucket must be locked."""
        self.identities[slot] &= ~DIGEST

    def _victim(self, bucket: int) -> int:
        """Return a free slot, or that of the least recently used record."""
        first, end = bucket * WAYS, (bucket + 1) * WAYS
        for slot, identity in enumerate(self.identities[first:end].tolist(), first):
            if not identity & DIGEST:
                return slot
        return self._oldest(first, self.used_at[first:end].tolist())

    def _oldest(self, first: int, used_at: list[int]) -> int:
        return first + used_at.index(min(used_at))

    def stats(self) -> KindStats:
        """Return figures; this examines every slot."""
        used = sum(1 for identity in self.identities.tolist() if identity & DIGEST)
        return KindStats(used, self.slots, sum(self._evictions.tolist()))


class GaugeRegion(Region):
    """The slots of gauges: one word for each worker, which is its share."""

    def _oldest(self, first: int, used_at: list[int]) -> int:
        """Return the oldest slot, preferring gauges that are 0."""
        ages = [(self._holds(first + way), age) for way, age in enumerate(used_at)]
        return first + ages.index(min(ages))

    def _holds(self, slot: int) -> bool:
        words = self.data[slot * self.width : (slot + 1) * self.width].tolist()
        return any(word & SHARE for word in words)

    def release(self, worker: int) -> None:
        """Remove the share of a dead worker from all gauges."""
        zeros = memoryview(bytes(8 * self.slots)).cast("Q")
        self.data[worker :: self.width] = zeros


SHARE: Final = DIGEST
"""The bits of a gauge's word that are the share; the others are the generation."""


def tick() -> int:
    """Return the current time in the unit of ``used_at``."""
    return time.monotonic_ns() >> 20
