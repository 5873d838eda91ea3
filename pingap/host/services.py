"""Tasks of a process that are independent of requests and must survive a bug in them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

log = logging.getLogger("pingap")

AGAIN_SECONDS: Final = 1.0
"""Pause before a failed service is restarted."""


async def keep_running(service: Callable[..., Awaitable[None]], *args: object) -> None:
    """Run a service until it returns or is cancelled; if it raises, log the error and run it again."""
    while not await attempt(service, *args):  # noqa: ASYNC110
        await anyio.sleep(AGAIN_SECONDS)


async def attempt(job: Callable[..., Awaitable[None]], *args: object) -> bool:
    """Run a job; if it raises, log the error and return False."""
    try:
        await job(*args)
    except Exception:
        log.exception("%s failed because of a bug in pingap", job.__qualname__)
        return False
    return True
