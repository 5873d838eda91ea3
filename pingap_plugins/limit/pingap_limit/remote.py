"""All that a limit needs for Redis."""

from __future__ import annotations

from typing import Final

import anyio

from pingap import BackgroundTasks, SharedState
from pingap_limit.rates import Rate
from pingap_limit.redis_calls import RedisCalls
from pingap_limit.redis_limiter import RedisLimiter
from pingap_limit.redis_slots import RedisSlots
from pingap_limit.settings import Settings as LimitSettings

_CLOSING: Final = 2.0
"""Seconds that closing the storage may take."""


class Remote:
    """What several machines count in Redis."""

    def __init__(self, shared: SharedState, name: str, settings: LimitSettings, rate: Rate) -> None:
        assert settings.storage is not None
        self.calls = RedisCalls(
            settings.storage.get_secret_value(),
            name,
            settings.storage_prefix,
            settings.storage_timeout,
            settings.storage_connections,
            shared,
        )
        self.slots = RedisSlots(self.calls, rate.amount) if settings.type == "inflight" else None
        self.limiter = RedisLimiter(
            self.calls,
            settings.strategy,
            rate,
            settings.weight / 100,
            settings.burst or rate.amount,
        )

    def start(self, tasks: BackgroundTasks) -> None:
        """Start the work in the background."""
        self.calls.start(tasks)
        if self.slots is not None:
            self.slots.start(tasks)

    async def close(self) -> None:
        """Give all slots back, and close the connections."""
        with anyio.move_on_after(_CLOSING):
            if self.slots is not None:
                await self.slots.give_back_all()
            await self.calls.close()
