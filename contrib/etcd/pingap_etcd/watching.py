"""Watches a prefix for as long as pingap runs: through failures, restarts, compactions and restored backups."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Final

import anyio

from pingap import StorageError
from pingap_etcd.gateway import Gateway
from pingap_etcd.keys import below, revision_of
from pingap_etcd.session import SilentError

log = logging.getLogger("pingap.etcd")

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
"""Pauses in seconds between attempts, doubled each time."""


class Watch:
    """Watches the keys below a prefix.

    :param gateway: with which it is watched.
    """

    def __init__(self, gateway: Gateway, prefix: str) -> None:
        self._gateway = gateway
        self._prefix = prefix
        self._revision = 0
        """The last one that was seen; 0: everything has to be read."""
        self._is_away = False
        self._pause = FIRST_PAUSE

    async def changes(self) -> AsyncIterator[None]:
        """Yield an item once it watches, and whenever there may be another configuration to read."""
        while True:
            try:
                async for message in self._messages():
                    if self._is_change(message):
                        yield
            except SilentError:
                pass  # asked again from the last revision: nothing is missed
            except StorageError as error:
                await self._wait(error)

    def _messages(self) -> AsyncIterator[dict[str, object]]:
        request: dict[str, object] = {**below(self._prefix), "progress_notify": True}
        if self._revision:
            request["start_revision"] = str(self._revision + 1)
        return self._gateway.stream("watch", {"create_request": request})

    def _is_change(self, message: dict[str, object]) -> bool:
        """Take a message in; return whether the configuration has to be read.

        :raises StorageError: the watch was refused.
        """
        compacted = "compact_revision" in message
        if message.get("canceled") and not compacted:
            raise StorageError(f"etcd ended the watch: {message.get('cancel_reason', 'no reason')}")
        began, seen = bool(message.get("created")), revision_of(message)
        if compacted or (began and seen < self._revision):  # or restored from a backup
            self._revision = 0
            raise SilentError
        is_new = self._revision == 0 or "events" in message or (began and self._is_away)
        self._revision = max(self._revision, seen)
        if began:
            self._is_back()
        return is_new

    def _is_back(self) -> None:
        if self._is_away:
            log.info("etcd is back; changes of the configuration are taken over again")
        self._is_away, self._pause = False, FIRST_PAUSE

    async def _wait(self, error: StorageError) -> None:
        if not self._is_away:
            # Without a traceback: it would end with what a library says, which is not ours.
            log.error("etcd cannot be watched, the configuration stays as it is: %s", error)
        self._is_away = True
        await anyio.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
