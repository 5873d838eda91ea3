"""The worker that tests of plugins get without a proxy."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.certificates import issue

from pingap import BackgroundTasks, PeerView, Plugin, Response, Worker, hookimpl
from pingap.testing import FakeUpstream, FakeWorker, Proxy, make_request

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


async def test_certificates_are_checked_and_listed() -> None:
    issued = issue("a.test")
    with FakeWorker() as worker:
        worker.certificates.replace("a", issued.cert.encode(), issued.key.encode())
        (facts,) = worker.certificates.list()
        assert (facts.name, facts.names, facts.source) == ("a", ("a.test",), "plugin")
        with pytest.raises(ValueError, match="the key does not belong"):
            worker.certificates.replace("a", issued.cert.encode(), issue().key.encode())
        worker.certificates.remove("a")
        assert worker.certificates.list() == ()


async def test_its_store_may_stay(tmp_path: Path) -> None:
    for expected in (None, b"1"):
        with FakeWorker(state_directory=tmp_path) as worker:
            assert await worker.store.get("a") == expected
            await worker.store.set("a", b"1")


async def test_it_fetches_what_the_test_says() -> None:
    with FakeWorker() as worker:
        worker.responses["app"] = lambda request, body: Response(200, request.path.encode() + body)
        answer = await worker.fetch(make_request(target="/a"), upstream="app", body=b"!")
        assert answer.body == b"/a!"
        with pytest.raises(KeyError):
            await worker.fetch(make_request(), upstream="other")


async def test_its_upstreams_can_be_drained() -> None:
    sick = PeerView(address="10.0.0.2:80", weight=1, is_healthy=False, is_available=False)
    app = FakeUpstream("app", [PeerView(address="10.0.0.1:80", weight=1, idle=2), sick])
    with FakeWorker() as worker:
        assert worker.upstreams == {}
        worker.upstreams["app"] = app
        assert (app.name, app.connections) == ("app", 2)
        for address in ("10.0.0.1:80", "10.0.0.2:80"):
            app.drain(address)
        assert [(peer.is_drained, peer.is_available) for peer in app.peers] == [(True, False)] * 2
        for address in ("10.0.0.1:80", "10.0.0.2:80"):
            app.undrain(address)
        assert [peer.is_available for peer in app.peers] == [True, False]
        with pytest.raises(KeyError):
            app.drain("10.0.0.3:80")


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
