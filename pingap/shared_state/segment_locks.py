"""Locks between several workers: a held lock is a record in shared memory.

A record's word is the proof of its holder: a number, with the worker in the lowest bits. ``used_at`` is the
tick at which the lock expires, so that the region reuses the record that expires first. A lock that is still
held is never reused: if a bucket is full of them, callers wait as for a held lock.

A worker that dies while it takes a lock leaves one that has expired; the locks of a dead worker are released
(``release``), and if that is not possible immediately, they expire.
"""

from __future__ import annotations

from typing import Final

from pingap.shared_state.region import DIGEST, NOWHERE, WAYS, Region, tick

_WORKER_BITS: Final = 16
_WORKER: Final = (1 << _WORKER_BITS) - 1
_PROOF: Final = (1 << 64) - 1
_TICK_SECONDS: Final = (1 << 20) / 1e9


class LockRegion(Region):
    """The records of locks: one word for each, the proof."""

    def release(self, worker: int) -> None:
        """Release the locks of a dead worker."""
        for slot, proof in enumerate(self.data.tolist()):
            bucket = slot // WAYS
            if proof and proof & _WORKER == worker and self.try_lock(bucket):
                try:
                    if self.data[slot] == proof:
                        self.free(slot)
                finally:
                    self.unlock(bucket)


class SegmentLocks:
    """The locks as one worker sees them; implements ``lock.Locks``."""

    def __init__(self, region: Region, worker: int) -> None:
        self._region = region
        self._worker = worker
        self._taken = tick()  # so that a worker does not repeat the proofs of its predecessor

    def take(self, key: str, seconds: float) -> int:
        """See ``Locks``; also 0 while all records of the bucket are held."""
        region = self._region
        bucket, digest = region.place(key)
        slot, identity = region.find(bucket, digest)
        if identity != NOWHERE and region.used_at[slot] > tick():
            return 0
        region.lock(bucket)
        try:
            now = tick()
            slot, identity = region.find(bucket, digest)
            if identity != NOWHERE and region.used_at[slot] > now:
                return 0
            if identity == NOWHERE and self._is_full(bucket, now):
                return 0
            slot, _ = region.claim(bucket, digest, self._worker)
            self._taken += 1
            proof = (self._taken << _WORKER_BITS | self._worker) & _PROOF
            region.data[slot] = proof
            region.used_at[slot] = now + 1 + int(seconds / _TICK_SECONDS)
            return proof
        finally:
            region.unlock(bucket)

    def _is_full(self, bucket: int, now: int) -> bool:
        slots = slice(bucket * WAYS, (bucket + 1) * WAYS)
        identities = self._region.identities[slots].tolist()
        ends = self._region.used_at[slots].tolist()
        return all(
            identity & DIGEST and end > now for identity, end in zip(identities, ends, strict=True)
        )

    def holds(self, key: str, proof: int) -> bool:
        """See ``Locks``."""
        region = self._region
        slot, identity = region.find(*region.place(key))
        return identity != NOWHERE and region.data[slot] == proof and region.used_at[slot] > tick()

    def give_back(self, key: str, proof: int) -> None:
        """See ``Locks``."""
        region = self._region
        bucket, digest = region.place(key)
        region.lock(bucket)
        try:
            slot, identity = region.find(bucket, digest)
            if identity != NOWHERE and region.data[slot] == proof:
                region.free(slot)
        finally:
            region.unlock(bucket)
