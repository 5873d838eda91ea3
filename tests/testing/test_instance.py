"""``Worker.instance`` and leading in a proxy of a test, where there is no supervisor."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from support.local_plugin import control

from pingap import (
    ApplyError,
    BackgroundTasks,
    ConfigSnapshot,
    Plugin,
    PluginSettings,
    Request,
    Response,
    RestartError,
    Worker,
    hookimpl,
)
from pingap.testing import Client, Proxy, Upstream

CONTROL = 'category = "control"'
TOML = control(CONTROL)


class Control(Plugin):
    category = "control"
    contract = "1.1"

    class Settings(PluginSettings):
        pass

    def __init__(self, settings: Settings) -> None:
        self.worker: Worker

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        self.worker = worker

    @hookimpl
    async def request(self, request: Request) -> Response:
        change = json.loads(request.headers.get("X-Change") or '["", ""]')
        return Response(200, json.dumps(await self.answer(request.path, *change)))

    async def answer(self, path: str, old: str, new: str) -> Any:
        instance = self.worker.instance
        files = tuple((name, text.replace(old, new)) for name, text in instance.snapshot.files)
        snapshot = replace(instance.snapshot, files=files)
        if path.endswith("/check"):
            return [[str(one), one.is_warning] for one in await instance.check(snapshot)]
        if path.endswith("/apply"):
            try:
                return await instance.apply(snapshot, by="a test")
            except ApplyError as error:
                return [str(error), [[one.file, one.line] for one in error.problems]]
        if path.endswith("/restart"):
            try:
                return await instance.restart()
            except RestartError as error:
                return str(error)
        if path.endswith("/figures"):
            figures = await instance.figures()
            return {**asdict(figures), "connections": figures.connections}
        return [repr(instance.config), instance.snapshot.version, list(instance.config.servers)]


StartProxy = Callable[..., Proxy]


def ask(site: Proxy | Client, path: str, old: str = "", new: str = "") -> Any:
    """Ask the plugin something about its configuration with a text replaced."""
    return site.get(f"/control/{path}", headers={"X-Change": json.dumps([old, new])}).json()


@pytest.fixture
def site(start_proxy: StartProxy) -> Proxy:
    return start_proxy(TOML, categories=[Control])


def test_a_plugin_sees_what_is_served(site: Proxy) -> None:
    text, version, servers = site.get("/control").json()
    assert (text, servers) == ("<Config servers: web; locations: control, hello>", ["web"])
    assert version == ConfigSnapshot.of_text(TOML, "pingap.toml").version


def test_a_plugin_checks(site: Proxy) -> None:
    assert ask(site, "check") == []
    assert ask(site, "check", "data =", "dato =") == [
        ['pingap.toml:9: plugins.hello.dato: unknown key; did you mean "data"?', False]
    ]
    ((text, is_warning),) = ask(site, "check", 'plugins = ["hello"]')
    assert "answers every request with 503" in text
    assert is_warning


def test_a_plugin_applies(site: Proxy) -> None:
    with site.connect() as client:
        assert client.get("/").text == "one"
        before = client.get("/control").json()[1]
        assert ask(client, "apply", "one", "two") == []
        assert client.get("/").text == "two"
        assert client.get("/control").json()[1] != before
        last = ask(client, "figures")["last_reload"]
        assert (last["by"], last["error"]) == ("a test", "")
        assert ask(client, "apply", 'path = "/control"', 'path = "/other"') == []
        assert client.get("/control").text == "two"
    assert site.metrics().value("pingap_http_requests_total", location="hello") == 3


def test_what_cannot_be_served_changes_nothing(site: Proxy) -> None:
    text, places = ask(site, "apply", "data =", "dato =")
    assert 'did you mean "data"?' in text
    assert places == [["pingap.toml", 9]]
    assert site.get("/").text == "one"
    assert "dato" in ask(site, "figures")["last_reload"]["error"]


def test_a_server_may_come_and_go(site: Proxy) -> None:
    new = '[servers.new]\naddr = "127.0.0.1:0"\nlocations = ["hello"]\n[servers.web]'
    assert ask(site, "apply", "[servers.web]", new) == []
    with site.connect("new") as client, site.connect("web") as other:
        assert client.get("/").text == "one"
        assert ask(other, "apply", new, "[servers.web]") == []
        assert client.is_closed()
        assert other.get("/").text == "one"
    with pytest.raises(KeyError):
        site.port("new")


def test_there_is_no_restart(site: Proxy) -> None:
    assert ask(site, "restart") == "pingap is not run by a supervisor here"


def test_figures_of_the_only_process(site: Proxy) -> None:
    with site.connect() as client:
        client.get("/")
        figures = ask(client, "figures")
    assert figures["pid"] == os.getpid()
    assert (figures["connections"], figures["accepted"]) == (1, 2)
    (worker,) = figures["workers"]
    assert (worker["pid"], worker["processing"], worker["leads"]) == (os.getpid(), 1, True)
    assert worker["memory"] is None or worker["memory"] > 1_000_000
    assert figures["last_reload"] is None
    assert figures["needs_restart"] == []


def test_keys_that_wait_for_a_restart(start_proxy: StartProxy) -> None:
    site = start_proxy(control(CONTROL, basic="threads = 1"), categories=[Control])
    assert ask(site, "apply", "threads = 1", "threads = 2") == ["basic.threads"]
    assert ask(site, "figures")["needs_restart"] == ["basic.threads"]
    assert ask(site, "apply", "threads = 2", "threads = 1") == []


class Leads(Plugin):
    category = "leads"
    contract = "1.1"

    def __init__(self) -> None:
        self.now = 0
        self.often = 0

    async def lead(self, tasks: BackgroundTasks, worker: Worker) -> None:
        import anyio

        self.now += 1
        self.often += 1
        try:
            await anyio.sleep_forever()
        finally:
            self.now -= 1


def test_a_worker_leads_and_follows(proxy: Proxy, upstream: Upstream) -> None:
    plugin = Leads()
    proxy.location(plugins=[plugin])
    proxy.follow()
    proxy.get("/")
    assert (plugin.now, plugin.often) == (0, 0)
    for often in (1, 2):
        proxy.lead()
        proxy.lead()
        assert (plugin.now, plugin.often) == (1, often)
        proxy.follow()
        proxy.follow()
        assert (plugin.now, plugin.often) == (0, often)


def test_a_worker_leads_from_the_start(proxy: Proxy) -> None:
    plugin = Leads()
    proxy.location(plugins=[plugin])
    proxy.get("/")
    assert plugin.now == 1
