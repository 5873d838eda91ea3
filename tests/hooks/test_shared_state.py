"""``ctx.shared``, as plugins have it: seen through sockets."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from pingap import HTTPError, Plugin, Request, RequestContext, Response, hookimpl
from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.config import load
from pingap.shared_state.segment import SharedSegment
from pingap.testing import Client, Proxy, Upstream, make_context
from pingap.testing.worker_thread import WorkerThread
from pingap.worker.worker import Worker

COUNT = '''\
"""Count."""

from pingap import Plugin, RequestContext, Response, hookimpl


class Count(Plugin):
    """Answers with a number."""

    @hookimpl
    def request(self, ctx: RequestContext) -> Response:
        return Response.text(200, str(ctx.shared.counter("count").add()))
'''
TOML = """
[plugins.count]
category = "python"
path = "count.py"

[locations.all]
plugins = ["count"]

[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
"""


class Count(Plugin):
    category = "count"

    @hookimpl
    def request(self, ctx: RequestContext) -> Response:
        return Response.text(200, str(ctx.shared.counter("count").add()))


class Busy(Plugin):
    category = "busy"

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> None:
        gauge = ctx.state["busy"] = ctx.shared.gauge(f"busy:{request.host}")
        if gauge.add() > 1:
            raise HTTPError(429, "Too many requests under way")

    @hookimpl
    def logging(self, ctx: RequestContext) -> None:
        if (gauge := ctx.state.get("busy")) is not None:
            gauge.add(-1)


def test_proxies_of_one_process_do_not_mix() -> None:
    one, two = Proxy(), Proxy()
    for proxy in (one, two):
        proxy.location(plugins=[Count])
    with one, two:
        assert [one.get("/").text for _ in range(3)] == ["1", "2", "3"]
        assert two.get("/").text == "1"


def test_workers_on_a_segment_count_together(tmp_path: Path) -> None:
    (tmp_path / "count.py").write_text(COUNT)
    (tmp_path / "pingap.toml").write_text(TOML)
    segment = SharedSegment(workers=2)
    clients = []
    with ExitStack() as running:
        for index in range(2):
            runtime = build(load(tmp_path / "pingap.toml"), installed_registry())
            worker = Worker(runtime, shared=segment.attach(index))
            worker.bind()
            address = worker.addresses["web"][0]
            thread = WorkerThread(worker, lambda number: None)
            thread.start()
            running.callback(thread.stop)
            client = Client(("127.0.0.1", int(address.rpartition(":")[2])))
            clients.append(running.enter_context(client))
        answers = [client.get("/").body for client in (*clients, *clients)]
    assert answers == [b"1", b"2", b"3", b"4"]


def test_gauge_of_requests_under_way() -> None:
    with Upstream() as upstream:
        proxy = Proxy(upstream=upstream)
        proxy.location(plugins=[Busy])
        with proxy:
            assert [proxy.get("/").status for _ in range(3)] == [200] * 3


def test_contexts_of_tests_have_one_each() -> None:
    one, two = make_context(), make_context()
    assert (one.shared.counter("a").add(), two.shared.counter("a").add()) == (1, 1)
