"""Kept connections of side calls: one pool for each kind of connection, in each event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from pingap.client.tls import ClientTLS

if TYPE_CHECKING:
    import ssl

    import httpcore

MOST_POOLS: Final = 32
"""Pools that an event loop keeps; the least recently used one is closed."""
MOST_CONNECTIONS: Final = 100
"""Connections of one pool; further calls wait for a free one."""
IDLE_SECONDS: Final = 30.0
"""How long an idle connection is kept."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Properties that all connections of a pool share.

    :param uds: path of the Unix socket; None: TCP.
    :param encrypted: for ``https`` URLs.
    :param tls: None: the default options.
    """

    uds: str | None
    encrypted: bool
    tls: ClientTLS | None


class _Pool:
    def __init__(self, kind: Kind, context: ssl.SSLContext | None) -> None:
        import httpcore

        self.users = 0
        """Calls in progress."""
        self.connections: httpcore.AsyncConnectionPool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=MOST_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
            uds=kind.uds,
        )


class LoopPools:
    """The pools of one event loop, the most recently used last."""

    def __init__(self) -> None:
        self._pools: dict[Kind, _Pool] = {}

    def __len__(self) -> int:
        return len(self._pools)

    @asynccontextmanager
    async def use(
        self, kind: Kind, context: ssl.SSLContext | None
    ) -> AsyncIterator[httpcore.AsyncConnectionPool]:
        """Hold a pool for one call: it is not closed before the end of the block.

        :param context: used if the pool does not exist yet.
        """
        pool = self._pools.pop(kind, None) or _Pool(kind, context)
        self._pools[kind] = pool
        pool.users += 1
        try:
            yield pool.connections
        finally:
            pool.users -= 1
            await self._close_surplus()

    async def _close_surplus(self) -> None:
        surplus = len(self._pools) - MOST_POOLS
        if surplus <= 0:
            return
        unused = [kind for kind, pool in self._pools.items() if not pool.users]
        await _close([self._pools.pop(kind) for kind in unused[:surplus]])

    async def close(self) -> None:
        """Close all connections, including those of calls in progress."""
        pools, self._pools = list(self._pools.values()), {}
        await _close(pools)


async def _close(pools: list[_Pool]) -> None:
    with anyio.CancelScope(shield=True):
        for pool in pools:
            await pool.connections.aclose()


class Pools:
    """The pools of a client: connections of one event loop cannot be used in another.

    Tests run several workers in one process.
    """

    def __init__(self) -> None:
        self._by_loop: dict[asyncio.AbstractEventLoop, LoopPools] = {}

    def here(self) -> LoopPools:
        """Return the pools of the running event loop."""
        loop = asyncio.get_running_loop()
        if (pools := self._by_loop.get(loop)) is None:
            for other in [one for one in list(self._by_loop) if one.is_closed()]:
                self._by_loop.pop(other, None)
            pools = self._by_loop[loop] = LoopPools()
        return pools

    async def close(self) -> None:
        """Close the pools of the running event loop."""
        pools = self._by_loop.pop(asyncio.get_running_loop(), None)
        if pools is not None:
            await pools.close()
