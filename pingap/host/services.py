"""What a process does beside its requests, which must survive a defect in it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

log = logging.getLogger("pingap")

AGAIN_SECONDS: Final = 1.0
"""How long a service that failed pauses before it goes on."""


async def keep_running(service: Callable[..., Awaitable[None]], *args: object) -> None:
    """Run a service until it returns or is cancelled; if it raises, log that and run it again."""
    while not await attempt(service, *args):  # noqa: ASYNC110
        await anyio.sleep(AGAIN_SECONDS)


async def attempt(job: Callable[..., Awaitable[None]], *args: object) -> bool:
    """Run a job; if it raises, log that and return False."""
    try:
        await job(*args)
    except Exception:
        log.exception("%s failed by a defect of pingap", job.__qualname__)
        return False
    return True
