"""``Worker.instance`` with a supervisor and several workers: what plugins can have it do."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.load import Load, get
from support.local_plugin import control
from support.process import Process
from support.processes import is_running
from support.waiting import until

from pingap.testing import Client

TOML = control(
    'category = "python"\npath = "control.py"', basic='threads = 2\nupgrade_sock = "upgrade.sock"'
)
PLUGIN = """
import json, logging, os, time
from dataclasses import asdict, replace
import anyio
from pingap import ApplyError, Plugin, PluginSettings, Response, RestartError, hookimpl

class Control(Plugin):
    contract = "1.1"

    class Settings(PluginSettings):
        slow: float = 0.0
        hangs: float = 0.0

    def __init__(self, settings):
        self.worker, self.slow = None, settings.slow
        time.sleep(settings.hangs)

    async def startup(self, tasks, worker):
        self.worker = worker
        logging.getLogger("pingap.test").warning("%s s to start", self.slow)
        await anyio.sleep(self.slow)

    @hookimpl
    async def request(self, request):
        change = json.loads(request.headers.get("X-Change") or '["", ""]')
        answer = await self.answer(request.path.rpartition("/")[2], *change)
        return Response(200, json.dumps({"pid": os.getpid(), "answer": answer}))

    async def answer(self, what, old, new):
        instance = self.worker.instance
        files = tuple((name, text.replace(old, new)) for name, text in instance.snapshot.files)
        snapshot = replace(instance.snapshot, files=files)
        if what == "check":
            return [[one.message, one.line, one.is_warning] for one in await instance.check(snapshot)]
        if what == "apply":
            try:
                return await instance.apply(snapshot, by="a\\ntest")
            except ApplyError as error:
                return [str(error), [[one.message, one.line] for one in error.problems]]
        if what == "restart":
            try:
                return await instance.restart()
            except RestartError as error:
                return str(error)
        if what == "figures":
            figures = await instance.figures()
            return {**asdict(figures), "connections": figures.connections}
        return [repr(instance.config), instance.snapshot.version]
"""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Process]:
    (tmp_path / "control.py").write_text(PLUGIN)
    with Process(TOML.replace("upgrade.sock", str(tmp_path / "upgrade.sock")), tmp_path) as running:
        yield running


def send(client: Client, what: str, old: str = "", new: str = "") -> None:
    """Have the plugin do something with the configuration, in which a text is replaced."""
    client.send_request("GET", f"/control/{what}", headers={"X-Change": json.dumps([old, new])})


def ask(proxy: Process, what: str, old: str = "", new: str = "", *, worker: int = 0) -> Any:
    """Return what the plugin answers.

    :param worker: the process that is to be asked; any by default.
    """
    while True:
        with proxy.connect() as client:
            client.sock.settimeout(40)
            if worker and answer_to(proxy, client, "show")["pid"] != worker:
                continue  # what is to be done is done once, by the right one
            return answer_to(proxy, client, what, old, new)["answer"]


def answer_to(proxy: Process, client: Client, what: str, *change: str) -> Any:
    send(client, what, *change)
    answer = client.answer()
    assert answer.status == 200, proxy.log
    return answer.json()


def texts(proxy: Process) -> set[str]:
    """Return what clients get, on many connections."""
    found = set()
    for _ in range(20):
        with proxy.connect() as client:
            found.add(client.get("/").body.decode())
    return found


def test_every_worker_serves_what_was_applied(proxy: Process) -> None:
    first, second = proxy.workers
    version = ask(proxy, "show")[1]
    for text, before, worker in (("two", "one", first), ("three", "two", second)):
        with proxy.connect() as other:
            assert other.get("/").body == before.encode()
            assert ask(proxy, "apply", f'"{before}"', f'"{text}"', worker=worker) == []
            assert other.get("/").body == text.encode()
        assert texts(proxy) == {text}
        assert {ask(proxy, "show", worker=one)[1] for one in (first, second)} != {version}
    applied = (
        rf'the configuration was applied by worker \d \(pid {second}\) for "a\\ntest":\n'
        r"\[MODIFIED\] plugin:hello"
    )
    until(lambda: re.search(applied, proxy.log))
    os.kill(first, signal.SIGKILL)
    proxy.wait_for_log("will be replaced")
    assert texts(proxy) == {"three"}


def test_a_reload_reads_the_files_again(proxy: Process) -> None:
    ask(proxy, "apply", '"one"', '"two"')
    assert texts(proxy) == {"two"}
    proxy.process.send_signal(signal.SIGHUP)
    proxy.wait_for_log("the configuration was reloaded")
    assert texts(proxy) == {"one"}


def test_a_mistake_is_told_with_its_line_and_changes_nothing(proxy: Process) -> None:
    mistake = ['unknown key; did you mean "data"?', 13]
    assert ask(proxy, "check", "data =", "dato =") == [[*mistake, False]]
    assert "stays as it was" not in proxy.log
    text, problems = ask(proxy, "apply", "data =", "dato =")
    assert problems == [mistake]
    assert "plugins.hello.dato: unknown key" in text
    assert texts(proxy) == {"one"}
    last = ask(proxy, "figures")["last_reload"]
    assert (last["error"], 'for "a\\ntest"' in last["by"]) == (text, True)
    proxy.wait_for_log("the configuration stays as it was; the new one, applied by worker ")


def test_a_worker_that_cannot_prepare_is_told(proxy: Process) -> None:
    (proxy.folder / "control.py").write_text(
        PLUGIN.replace("await anyio.sleep(self.slow)", "raise RuntimeError('no room')")
    )
    text, problems = ask(proxy, "apply", '"one"', '"two"')
    assert (text, problems) == ("plugin control cannot start: no room", [])
    assert texts(proxy) == {"one"}


def test_warnings_and_hanging_plugins_are_found(proxy: Process) -> None:
    assert ask(proxy, "check") == []
    ((text, line, is_warning),) = ask(proxy, "check", 'plugins = ["hello"]')
    assert ("answers every request with 503" in text, line, is_warning) == (True, 14, True)
    ask(proxy, "apply", "threads = 2", 'threads = 2\nworker_timeout = "2s"')
    ((text, _, _),) = ask(proxy, "check", "control.py", 'control.py"\nhangs = 60 #')
    assert text == "checking it took longer than 2 s: does a plugin hang?"
    assert texts(proxy) == {"one"}


def test_no_request_is_lost_while_configurations_are_applied(proxy: Process) -> None:
    with Load(proxy.connect, one=get, two=get) as load:
        for number in range(20):
            old, new = ("one", "two") if number % 2 == 0 else ("two", "one")
            assert ask(proxy, "apply", f'"{old}"', f'"{new}"') == []
            load.wait_for_rounds(8)
    assert load.failures == []
    assert sum(load.done.values()) > 300


def test_configurations_are_applied_one_after_the_other(proxy: Process) -> None:
    clients = [proxy.connect() for _ in range(4)]
    for number, client in enumerate(clients):
        send(client, "apply", '"one"', f'"{number}"')
    answers = [client.answer().json()["answer"] for client in clients]
    assert answers == [[]] * 4
    until(lambda: proxy.log.count("the configuration was applied by") == 4)
    assert len(texts(proxy)) == 1
    for client in clients:
        client.close()


def test_a_worker_that_asked_may_die_meanwhile(proxy: Process) -> None:
    with proxy.connect() as client:
        asking = client.get("/control/show").json()["pid"]
        send(client, "apply", 'control.py"', 'control.py"\nslow = 2.0')
        proxy.wait_for_log("2.0 s to start")
        os.kill(asking, signal.SIGKILL)
        assert client.is_closed()
    proxy.wait_for_log("the configuration was applied by")
    until(lambda: len(proxy.workers) == 2 and asking not in proxy.workers)
    assert ask(proxy, "apply", '"one"', '"two"') == []
    assert texts(proxy) == {"two"}
    figures = ask(proxy, "figures")
    assert [one["responds"] for one in figures["workers"]] == [True, True]


def test_a_restart_serves_from_the_files(proxy: Process) -> None:
    before = proxy.process.pid
    old = proxy.workers
    assert ask(proxy, "restart") is None
    until(lambda: not any(map(is_running, old)))
    figures = ask(proxy, "figures")
    assert figures["pid"] != before
    assert {one["pid"] for one in figures["workers"]}.isdisjoint(old)
    assert texts(proxy) == {"one"}


def test_a_restart_that_fails_says_why(proxy: Process) -> None:
    proxy.conf.write_text(proxy.conf.read_text().replace("data =", "dato ="))
    assert 'unknown key; did you mean "data"?' in ask(proxy, "restart")
    assert texts(proxy) == {"one"}


def test_figures_of_all_processes(proxy: Process) -> None:
    with proxy.connect() as one, proxy.connect() as two:
        for client in (one, two):
            for _ in range(5):
                client.get("/")
        figures = ask(proxy, "figures")
    assert figures["pid"] == proxy.process.pid
    assert [one["pid"] for one in figures["workers"]] == sorted(proxy.workers)
    assert [one["leads"] for one in figures["workers"]].count(True) == 1
    assert (figures["connections"], figures["accepted"]) == (3, 11)
    assert sum(one["processing"] for one in figures["workers"]) == 1
    assert figures["last_reload"] is None
    assert figures["started_at"] <= min(one["started_at"] for one in figures["workers"])
    assert all(one["memory"] > 5_000_000 for one in (figures, *figures["workers"]))
    assert ask(proxy, "apply", "threads = 2", "threads = 3") == ["basic.threads"]
    assert ask(proxy, "figures")["needs_restart"] == ["basic.threads"]
