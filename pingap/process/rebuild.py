"""Building the next runtime of a worker beside the one that serves."""

from __future__ import annotations

import sys
from typing import Final

import anyio.to_thread

from pingap.builder import Runtime, build
from pingap.config import Snapshot, load_snapshot

_SWITCH_SECONDS: Final = 0.0005
"""How long the thread may keep the interpreter while a request waits; by default 5 ms."""


async def rebuild(serving: Runtime, snapshot: str, log_target: str) -> Runtime:
    """Return what a configuration becomes; what has not changed is taken over.

    It is built in a thread, and requests go on meanwhile.

    :param serving: the runtime that serves now.
    :param snapshot: the texts of the configuration.
    :param log_target: what ``--log`` says.
    :raises ConfigError: with everything that cannot be built.
    """

    def work() -> Runtime:
        registry = serving.registry
        config = load_snapshot(
            Snapshot.from_bytes(snapshot.encode()), location_keys=registry.location_keys
        )
        return build(config, registry, log_target, previous=serving)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        return await anyio.to_thread.run_sync(work)
    finally:
        sys.setswitchinterval(interval)
