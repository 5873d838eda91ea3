"""Notifications: each is handled once, by the worker that leads, whatever becomes of workers."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.plugins import python_path, routes, write_distribution
from support.process import Process
from support.waiting import until

from pingap.testing import Upstream

SOURCE = """
class Notifier(Plugin):
    category = "notifier"
    contract = "1.1"

    async def startup(self, tasks, worker): self.worker = worker

    @hookimpl
    def request(self, request):
        if request.path.endswith("/notify"):
            for number in range(int(request.query or 1)):
                event = Notification("test", f"number {number}", "info", fields={"at": request.path})
                self.worker.notify(event)
        return Response(200, str(os.getpid()))

    @hookimpl
    async def pingap_notification(self, event):
        await anyio.sleep(0)
        log.warning("method %s: %s", event.kind, event.message)
        if event.message == "number 0" and os.environ.get("HANGS"):
            await anyio.sleep_forever()


@hookimpl
def pingap_plugin_categories(): return [Notifier]


@hookimpl
def pingap_notification(event):
    log.warning("handled by %s: %s: %s (%s) %s", os.getpid(), event.kind, event.message,
        event.detail.replace("\\n", " "), dict(event.fields))
    if event.message == os.environ.get("RAISES"):
        raise OSError("no webhook")
"""


@pytest.fixture
def start(tmp_path: Path, upstream: Upstream) -> Callable[..., Process]:
    write_distribution(tmp_path / "site", "notifying", SOURCE, {"notifier": "notifying"})

    def start(workers: int = 2, **env: str) -> Process:
        more = f'[basic]\nthreads = {workers}\n[plugins.one]\ncategory = "notifier"'
        toml = routes({"a": "one"}, upstream.addr, more=more)
        return Process(toml, tmp_path / "proxy", env={**python_path(tmp_path / "site"), **env})

    return start


def handled(proxy: Process, kind: str) -> list[str]:
    return re.findall(rf"handled by (\d+): {kind}: ", proxy.log)


def kill(proxy: Process, worker: int) -> None:
    count = len(proxy.workers)
    os.kill(worker, signal.SIGKILL)
    until(lambda: len(proxy.workers) == count and worker not in proxy.workers)


def notify(proxy: Process, worker: int, count: int = 1) -> None:
    """Let a worker notify of events."""
    while True:
        with proxy.connect() as client:
            if client.get("/a/").body.decode() == str(worker):
                client.get(f"/a/notify?{count}")
                return


@pytest.mark.parametrize("which", [0, 1])
def test_hook_pingap_notification_is_called_once_for_a_worker_that_was_killed(
    start: Callable[..., Process], which: int
) -> None:
    with start() as proxy:
        victim, other = proxy.workers[which], proxy.workers[1 - which]
        kill(proxy, victim)
        proxy.wait_for_log("method worker_ended: worker")
        assert f"(pid {victim}) was killed by SIGKILL; it will be replaced" in proxy.log
        # What comes later is handled later.
        notify(proxy, other)
        proxy.wait_for_log("method test: number 0")
        assert handled(proxy, "worker_ended") == [str(other)]
        assert len(handled(proxy, "test")) == 1


def test_the_only_worker_that_was_killed_is_notified_of_by_the_next_one(
    start: Callable[..., Process],
) -> None:
    with start(workers=1) as proxy:
        kill(proxy, proxy.workers[0])
        proxy.wait_for_log("method worker_ended: worker")
        assert handled(proxy, "worker_ended") == [str(proxy.workers[0])]


def test_any_worker_notifies_and_the_leader_handles_it(start: Callable[..., Process]) -> None:
    with start() as proxy:
        leader, other = proxy.workers
        for count, worker in enumerate((other, leader), 1):
            notify(proxy, worker)
            until(lambda count=count: proxy.log.count("method test") == count)  # type: ignore[misc]
        assert handled(proxy, "test") == [str(leader)] * 2
        assert "INFO test: number 0" in proxy.log
        assert "test: number 0 () {'at': '/a/notify'}" in proxy.log


def test_a_leader_that_is_killed_loses_what_it_was_handling(start: Callable[..., Process]) -> None:
    with start(HANGS="1") as proxy:
        leader, other = proxy.workers
        notify(proxy, other, 5)
        proxy.wait_for_log("method test: number 0")
        assert len(handled(proxy, "test")) == 1
        kill(proxy, leader)
        proxy.wait_for_log("method test: number 4")
        assert re.findall(r"(\d+): test: number (\d)", proxy.log) == [
            (str(leader), "0"),
            *((str(other), str(number)) for number in range(1, 5)),
        ]


def test_a_handler_that_raises_is_logged_and_the_others_run(start: Callable[..., Process]) -> None:
    with start(RAISES="number 0") as proxy:
        notify(proxy, proxy.workers[1])
        proxy.wait_for_log("method test: number 0")
        log = proxy.wait_for_log("notifying (notifying) failed in pingap_notification")
        assert "OSError: no webhook" in log
        notify(proxy, proxy.workers[1])
        until(lambda: len(handled(proxy, "test")) == 2)


def test_a_reload_and_one_that_is_refused_are_notified_of(start: Callable[..., Process]) -> None:
    with start() as proxy:
        toml = proxy.conf.read_text()
        proxy.conf.write_text(toml.replace('path = "/a/"', 'path = "/b/"'))
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("method reload_config: the configuration was reloaded")
        assert re.search(r"handled by \d+: reload_config: .* \(.*/b/.*\)", proxy.log)
        proxy.conf.write_text("nonsense = 1")
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("method reload_config_fail: the configuration stays as it was; the new")
        assert re.search(r"reload_config_fail: .* \(.*nonsense.*\)", proxy.log)
        assert len(handled(proxy, "reload_config")) == 1
