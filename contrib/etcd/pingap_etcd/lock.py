"""A lock among all instances that share an etcd cluster."""

from __future__ import annotations

import logging
import random
import time
from types import TracebackType
from typing import Final, Self

import anyio

from pingap import StorageError
from pingap_etcd.gateway import Gateway
from pingap_etcd.keys import put, unchanged

log = logging.getLogger("pingap.etcd")

PAUSE: Final = 0.5
"""Seconds between two attempts to get a lock that others hold."""


class EtcdLock:
    """A lock that always expires, so a process that dies blocks others for a limited time.

    An async context manager; entering it waits for the lock. It can be entered again after it was left.

    :param key: of the lock.
    :param seconds: after which others get it; etcd counts whole seconds.
    :raises ValueError: ``seconds`` is less than 1.
    """

    def __init__(self, gateway: Gateway, key: str, seconds: float) -> None:
        if not seconds >= 1:
            raise ValueError(f"a lock for {seconds} s: expected at least 1")
        self._gateway = gateway
        self._key = key
        self._seconds = int(seconds)
        self._lease = ""
        self._until = 0.0

    @property
    def is_held(self) -> bool:
        """Whether this object still has the lock; False once its ``seconds`` have passed."""
        return bool(self._lease) and time.monotonic() < self._until

    async def __aenter__(self) -> Self:
        """Wait for the lock.

        :raises StorageError: etcd does not answer.
        :raises RuntimeError: this object already holds it.
        """
        if self._lease:
            raise RuntimeError("the lock is held by this object already")
        while not await self._take():  # noqa: ASYNC110 - others release it, not this process
            await anyio.sleep(PAUSE * random.uniform(0.5, 1.0))  # noqa: S311
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the lock, unless it has expired; without etcd, it expires later."""
        lease, self._lease = self._lease, ""
        with anyio.CancelScope(shield=True):
            try:
                await self._give_back(lease)
            except StorageError as problem:
                log.warning("the lock %s is held until it expires: %s", self._key, problem)

    async def _take(self) -> bool:
        began = time.monotonic()
        granted = await self._gateway.call("lease/grant", {"TTL": str(self._seconds)})
        lease = str(granted["ID"])
        request = {"compare": [unchanged(self._key, 0)], "success": [put(self._key, "", lease)]}
        answer = await self._gateway.call("kv/txn", request)
        if not answer.get("succeeded"):
            await self._give_back(lease)
            return False
        self._lease, self._until = lease, began + self._seconds
        return True

    async def _give_back(self, lease: str) -> None:
        """Revoke a lease, which removes its key."""
        try:
            await self._gateway.call("lease/revoke", {"ID": lease})
        except StorageError as error:
            if "lease not found" not in str(error):  # it has expired
                raise
