"""Files of networks, which take effect without a reload."""

from __future__ import annotations

from typing import Final

import anyio

from pingap.config.network_lists import NetworkFile, files_in_use
from pingap.plugins.worker_threads import SharedLimiter, in_thread

POLL_SECONDS: Final = 0.5
"""How often the files are examined. A changed one is read when it was the same twice: writing takes time."""
_limiter: Final = SharedLimiter("network_files", 1)


async def follow_files() -> None:
    """Read files of networks again when they change, until cancelled."""
    due = NetworkFile.has_changed  # since the process was made that this one was forked from
    while True:
        for file in files_in_use():
            if due(file):
                await in_thread(_limiter.get(), file.read_again)
        await anyio.sleep(POLL_SECONDS)
        due = NetworkFile.is_due
