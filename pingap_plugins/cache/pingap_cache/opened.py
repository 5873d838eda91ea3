"""The stores that are open in this worker: caches with the same ``directory`` share one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import anyio

from pingap_cache.stores.interface import Store, StoreFigures
from pingap_cache.stores.location import parse_location
from pingap_cache.stores.memory import MemoryStore
from pingap_cache.stores.tiered import TieredStore


@dataclass(slots=True, eq=False)
class Opened:
    """A store, and who uses it.

    :param deep: it has more than memory.
    """

    store: Store
    deep: bool
    text: str
    users: int = 0
    _turn: anyio.Lock = field(default_factory=anyio.Lock)

    async def maintain(self) -> None:
        """Do what the store has to do from time to time, for one of its users at a time."""
        async with self._turn:
            await self.store.maintain()

    def figures(self) -> dict[str, StoreFigures]:
        """Return the numbers of the store, by kind."""
        store = self.store
        if isinstance(store, TieredStore):
            return {"memory": store.memory.figures(), "disk": store.disk.figures()}
        return {"disk" if self.deep else "memory": store.figures()}

    async def close(self) -> None:
        """Close the store, if nobody else uses it."""
        self.users -= 1
        if not self.users:
            del _OPEN[_place(self.text)]
            await self.store.aclose()


_OPEN: dict[tuple[str, int], Opened] = {}


def _place(text: str) -> tuple[str, int]:
    # (Several proxies of tests run in one process, each with an event loop of its own.)
    return text, id(asyncio.get_running_loop())


def open_store(text: str, workers: int) -> Opened:
    """Return the store of a ``directory``; it is to be closed.

    :param workers: among which memory is divided.
    """
    place = _place(text)
    opened = _OPEN.get(place)
    if opened is None:
        store = parse_location(text).open(workers)
        deep = not isinstance(store, MemoryStore)
        opened = _OPEN[place] = Opened(store, deep=deep, text=text)
    opened.users += 1
    return opened
