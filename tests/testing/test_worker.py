"""The worker that tests of plugins get without a proxy."""

from __future__ import annotations

from pathlib import Path

import pytest

from pingap import BackgroundTasks, Plugin, Response, Worker, hookimpl
from pingap.testing import FakeWorker, Proxy

pytestmark = pytest.mark.anyio


async def use(worker: Worker) -> None:
    """Use what every worker has."""
    assert worker.shared.counter("a").add() == 1
    with worker.bus.subscribe("a/") as messages:
        worker.bus.publish("a/b", b"1")
        assert (await anext(messages)).value == b"1"
    await worker.store.set("a", b"1")


async def test_it_has_what_a_worker_has() -> None:
    with FakeWorker() as worker:
        await use(worker)
        worker.metrics_pages["web"] = b"page"
        assert await worker.metrics("web") == b"page"
        with pytest.raises(KeyError):
            await worker.metrics("other")
        place = worker.store._path()
        assert place.exists()
    assert not place.parent.parent.exists()


async def test_its_store_may_stay(tmp_path: Path) -> None:
    for expected in (None, b"1"):
        with FakeWorker(state_directory=tmp_path) as worker:
            assert await worker.store.get("a") == expected
            await worker.store.set("a", b"1")


class Keeper(Plugin):
    category = "keeper"

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        self.worker = worker

    @hookimpl
    async def request(self) -> Response:
        found = await self.worker.store.get("a")
        await self.worker.store.set("a", b"1")
        return Response(200, found or b"nothing")


def test_proxies_have_a_store_of_their_own(tmp_path: Path) -> None:
    one, other, kept = Proxy(), Proxy(), Proxy(state_directory=tmp_path)
    for proxy in (one, other, kept):
        proxy.location(plugins=[Keeper])
        with proxy:
            assert [proxy.get("/").body for _ in range(2)] == [b"nothing", b"1"]
    assert (tmp_path / "store" / "plugins.sqlite3").exists()
