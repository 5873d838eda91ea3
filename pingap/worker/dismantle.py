"""Frees a runtime graph that is no longer used, without blocking."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import anyio.lowlevel

from pingap.build.runtime import Runtime
from pingap.proxy.routing import Router
from pingap.proxy.runtime import LocationRuntime

_AT_ONCE: Final = 100
"""Objects freed in one turn of the event loop, each with everything that only it refers to."""


async def dismantle(runtime: Runtime) -> None:
    """Empty a runtime whose last request has ended, a part in each turn of the loop.

    Dropping the last reference to a graph with thousands of locations would free it all at once.
    """
    # No local name may refer to a server: it would keep all its locations alive until the end.
    parts = [part for router in _routers(runtime) for part in router.parts()]
    for container in _containers(runtime):
        parts += container.values()
        container.clear()
        await anyio.lowlevel.checkpoint()
    while parts:
        del parts[-_AT_ONCE:]
        await anyio.lowlevel.checkpoint()


def _routers(runtime: Runtime) -> Iterator[Router[LocationRuntime]]:
    for server in runtime.servers.values():
        yield server.router
        if server.internal is not None:
            yield server.internal.router


def _containers(runtime: Runtime) -> Iterator[dict[str, Any]]:
    config = runtime.config
    yield from config.tables.values()
    for document in config.source.documents:
        yield from (table for table in document.data.values() if isinstance(table, dict))
    yield from (config.locations, config.upstreams, config.servers, config.plugins)
    yield from (runtime.locations, runtime.upstreams, runtime.servers)
