"""Checks of passwords in threads: a bounded number, equal ones once, and none that takes all places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import anyio
import anyio.to_thread

from pingap_auth.failing_clients import client_of
from pingap_auth.users import Users

THREADS: Final = 2
"""Checks that run at a time, in each instance and worker."""
MOST_WAITING: Final = 200
"""Checks that run or wait; further requests are refused with 503."""
MOST_OF_CLIENT: Final = 20
"""The same for one client, so that it cannot lock out the others."""


class BusyError(Exception):
    """Too many checks are waiting."""


class Checks:
    """Runs the checks of one instance."""

    def __init__(self) -> None:
        self._running: dict[bytes, anyio.Event] = {}
        self._of_client: Counter[str] = Counter()
        self._limiter: anyio.CapacityLimiter | None = None  # needs an event loop

    async def run(self, users: Users, credentials: bytes, address: str) -> bool:
        """Return whether credentials are right.

        :param address: of the client.
        :raises BusyError: too many checks are waiting.
        """
        digest = users.digest(credentials)
        while (known := users.known(digest)) is None:
            if (done := self._running.get(digest)) is not None:
                await done.wait()  # and look at its result, if it was not cancelled
                continue
            with self._place(digest, client_of(address)):
                right = await self._in_thread(lambda: users.check(credentials))
                users.remember(digest, right)
                return right
        return known

    async def _in_thread(self, check: Callable[[], bool]) -> bool:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(THREADS)
        # Not abandoned on cancellation: a client that has left still takes its place in the limit.
        return await anyio.to_thread.run_sync(check, limiter=self._limiter)

    @contextmanager
    def _place(self, digest: bytes, client: str) -> Iterator[None]:
        if len(self._running) >= MOST_WAITING or self._of_client[client] >= MOST_OF_CLIENT:
            raise BusyError
        done = self._running[digest] = anyio.Event()
        self._of_client[client] += 1
        try:
            yield
        finally:
            self._of_client[client] -= 1
            if not self._of_client[client]:
                del self._of_client[client]
            del self._running[digest]
            done.set()
