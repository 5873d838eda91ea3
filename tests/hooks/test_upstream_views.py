"""``worker.upstreams``: peers that plugins look at and drain, in all workers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.process import Process
from support.waiting import until

from pingap import BackgroundTasks, PeerView, Plugin, Request, Response, Worker, hookimpl
from pingap.testing import Proxy, Upstream


class Admin(Plugin):
    category = "admin"
    contract = "1.1"

    worker: Worker

    def __init__(self) -> None:
        pass

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        self.worker = worker

    @hookimpl
    def request(self, request: Request) -> Response | None:
        return None


class Rig:
    """A proxy in front of two upstreams."""

    def __init__(self, proxy: Proxy, admin: Admin, one: Upstream, other: Upstream) -> None:
        self.proxy, self.admin, self.one, self.other = proxy, admin, one, other

    @property
    def peers(self) -> dict[str, PeerView]:
        return {peer.address: peer for peer in self.admin.worker.upstreams["upstream"].peers}

    def drain(self, upstream: Upstream, *, drained: bool = True) -> None:
        view = self.admin.worker.upstreams["upstream"]
        assert self.proxy._thread is not None
        change = view.drain if drained else view.undrain
        self.proxy._thread.call(lambda: change(upstream.addr))

    def asked(self, count: int = 6) -> set[Upstream]:
        """Return which upstreams get some requests."""
        before = [len(one.requests) for one in (self.one, self.other)]
        for _ in range(count):
            self.proxy.get("/")
        after = [len(one.requests) for one in (self.one, self.other)]
        pairs = zip((self.one, self.other), before, after, strict=True)
        return {one for one, was, now in pairs if now > was}


@pytest.fixture(params=[0, 100])
def rig(upstream: Upstream, request: pytest.FixtureRequest) -> Iterator[Rig]:
    admin = Admin()
    with Upstream() as other:
        proxy = Proxy(upstream=upstream)
        proxy.location(plugins=[admin])
        proxy.configure(
            "upstreams.upstream",
            addrs=[upstream.addr, f"{other.addr} 3"],
            panic_threshold=request.param,
        )
        with proxy:
            yield Rig(proxy, admin, upstream, other)


def test_peers_are_shown(rig: Rig) -> None:
    assert list(rig.admin.worker.upstreams) == ["upstream"]
    view = rig.admin.worker.upstreams["upstream"]
    assert (view.name, view.connections) == ("upstream", 0)
    assert [peer.weight for peer in view.peers] == [1, 3]
    assert rig.asked() == {rig.one, rig.other}
    assert view.connections == 2
    assert all(peer.idle == 1 and peer.active == 0 for peer in view.peers)
    assert all(peer.is_available and peer.is_healthy for peer in view.peers)


def test_a_drained_peer_gets_no_new_requests(rig: Rig) -> None:
    rig.drain(rig.one)
    peer = rig.peers[rig.one.addr]
    assert (peer.is_drained, peer.is_available, peer.is_healthy) == (True, False, True)
    assert rig.asked() == {rig.other}
    rig.drain(rig.one, drained=False)
    rig.drain(rig.one, drained=False)
    assert rig.asked() == {rig.one, rig.other}
    assert not rig.peers[rig.one.addr].is_drained


def test_requests_under_way_are_completed(rig: Rig) -> None:
    go = threading.Event()
    rig.other.reply("/slow", b"done", until=go)
    rig.one.reply("/slow", b"done", until=go)
    rig.drain(rig.one)
    client = rig.proxy.connect()
    client.send_request("GET", "/slow")
    rig.other.wait_for_request()
    assert rig.peers[rig.other.addr].active == 1
    rig.drain(rig.other)
    assert rig.proxy.get("/").status == 503
    go.set()
    assert client.answer().body == b"done"


def test_an_unknown_peer(rig: Rig) -> None:
    with pytest.raises(KeyError):
        rig.admin.worker.upstreams["upstream"].drain("10.9.9.9:1")
    with pytest.raises(KeyError):
        rig.admin.worker.upstreams["upstream"].undrain("")


PLUGIN = """
import os
from pingap import Plugin, PluginSettings, Response, hookimpl

class Admin(Plugin):
    contract = "1.1"

    class Settings(PluginSettings):
        pass

    async def startup(self, tasks, worker):
        self.worker = worker

    @hookimpl
    def request(self, request):
        origin = self.worker.upstreams["origin"]
        action, _, address = request.query.partition("=")
        if action:
            getattr(origin, action)(address)
        found = sorted(peer.address for peer in origin.peers if peer.is_drained)
        return Response.json({"pid": os.getpid(), "drained": found})
"""
TOML = """
[basic]
threads = 2
[plugins.admin]
category = "python"
path = "admin.py"
[upstreams.origin]
addrs = ["%s", "127.0.0.1:1"]
health_check = "none"
%s
[locations.all]
upstream = "origin"
plugins = ["admin"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
"""


def drained_in_all(proxy: Process, count: int = 2) -> list[list[str]]:
    """Return what is drained, as each worker says."""
    found: dict[int, list[str]] = {}
    while len(found) < count:
        with proxy.connect() as client:
            said = client.get("/").json()
            found[said["pid"]] = said["drained"]
    return list(found.values())


def test_all_workers_drain_and_go_on_after_a_reload(tmp_path: Path) -> None:
    (tmp_path / "admin.py").write_text(PLUGIN)
    with Upstream() as origin, Process(TOML % (origin.addr, ""), tmp_path) as proxy:
        with proxy.connect() as client:
            assert client.get(f"/?drain={origin.addr}").status == 200
        until(lambda: drained_in_all(proxy) == [[origin.addr]] * 2)
        proxy.conf.write_text(TOML % (origin.addr, "slow_start = '3s'"))  # another upstream object
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("reload")
        until(lambda: drained_in_all(proxy) == [[origin.addr]] * 2)
        before = proxy.workers
        os.kill(before[0], signal.SIGKILL)
        until(lambda: len(proxy.workers) == 2 and before[0] not in proxy.workers)
        assert drained_in_all(proxy) == [[origin.addr]] * 2
        with proxy.connect() as client:
            client.get(f"/?undrain={origin.addr}")
        until(lambda: drained_in_all(proxy) == [[], []])
