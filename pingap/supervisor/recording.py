"""Records the versions of the configuration that are served, in the history of its storage."""

from __future__ import annotations

import logging
from typing import Final

import anyio

from pingap.build.loading import failure_of
from pingap.config import Snapshot
from pingap.config.storage.file_history import FileHistory
from pingap.config.storage.history import ConfigNote
from pingap.config.storage.interface import ConfigStorage

log = logging.getLogger("pingap")

RECORD_SECONDS: Final = 10.0
"""How long recording a version may take."""


class Recorder:
    """Records versions; a failure is logged and changes nothing.

    :param storage: of the configuration.
    """

    def __init__(self, storage: ConfigStorage) -> None:
        self._storage = storage

    async def record(self, snapshot: Snapshot, note: ConfigNote) -> None:
        """Record a version that all workers serve."""
        try:
            history, kept = self._storage.history, snapshot.kept()
            if isinstance(history, FileHistory):
                history.record_now(kept, note)  # no threads in a process that forks
            elif history is not None:
                with anyio.fail_after(RECORD_SECONDS):
                    await history.record(kept, note)
        except TimeoutError:
            log.error("this version was not recorded: it took too long")  # noqa: TRY400
        except Exception as error:  # of a distribution
            log.error("this version was not recorded: %s", failure_of(error))  # noqa: TRY400
