"""Workers: how many there are, what becomes of one that ends, and what they count together."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.process import Process
from support.processes import is_running
from support.rig import configure
from support.waiting import until

from pingap.config import parse
from pingap.testing import Upstream
from pingap.worker.listening import cores, workers_in_all, workers_of

TOML = """
[basic]
threads = 2
worker_timeout = "2s"
[plugins.hello]
category = "mock"
status = 200
data = "hello"
[locations.all]
plugins = ["hello"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
prometheus_metrics = "/metrics"
"""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Process]:
    with Process(TOML, tmp_path) as proxy:
        yield proxy


def get(proxy: Process, path: str = "/") -> str:
    with proxy.connect() as client:
        return client.get(path).body.decode()


def test_each_server_has_as_many_workers_as_it_says() -> None:
    config = parse(TOML + '[servers.other]\naddr = "127.0.0.1:1"\nthreads = 3\nlocations = ["all"]')
    assert [workers_of(config, name) for name in ("web", "other")] == [2, 3]
    assert workers_of(config, "web", threads=5) == 5
    assert workers_in_all(config) == 3
    assert workers_of(parse(TOML.replace("threads = 2", "threads = 0")), "web") == cores()


def test_a_worker_that_is_killed_is_replaced(proxy: Process) -> None:
    first, second = proxy.workers
    os.kill(first, signal.SIGKILL)
    until(lambda: len(proxy.workers) == 2 and first not in proxy.workers)
    assert second in proxy.workers
    log = proxy.wait_for_log("was killed by SIGKILL")
    assert re.search(rf"worker 0 \(pid {first}\) was killed by SIGKILL; requests in progress", log)
    assert get(proxy) == "hello"


def test_a_worker_that_hangs_is_replaced(proxy: Process) -> None:
    first, _ = proxy.workers
    os.kill(first, signal.SIGSTOP)
    until(lambda: first not in proxy.workers and len(proxy.workers) == 2)
    assert f"(pid {first}) has not reported for 2 s and will be killed" in proxy.wait_for_log(
        "will be replaced"
    )


def test_a_worker_that_is_told_to_end_completes_its_requests(tmp_path: Path) -> None:
    with Upstream() as origin:
        origin.on("/", lambda served, request: served.respond(b"late"))
        with Process(configure(origin.addr), tmp_path) as proxy, proxy.connect() as client:
            (worker,) = proxy.workers
            client.get("/")
            os.kill(worker, signal.SIGTERM)
            proxy.wait_for_log(f"worker 0 (pid {worker}) is shutting down and will be replaced")
            assert client.get("/").header("connection") == "close"  # told that it is the last
            until(lambda: proxy.workers not in ([], [worker]))
            proxy.wait_for_log("exited with code 0")


def test_workers_end_with_their_supervisor(proxy: Process) -> None:
    workers = proxy.workers
    proxy.process.kill()
    until(lambda: not any(map(is_running, workers)))


def test_metrics_are_those_of_all_workers(proxy: Process) -> None:
    def count() -> int:
        page = get(proxy, "/metrics")
        found = re.search(r'requests_total\{location="all",server="web"\} (\d+)', page)
        assert found, page
        return int(found[1])

    for _ in range(40):
        get(proxy)
    assert count() == 40
    first, _ = proxy.workers
    os.kill(first, signal.SIGKILL)
    proxy.wait_for_log("will be replaced")
    assert count() == 40
    get(proxy)
    assert count() == 41


def test_stats_are_those_of_all_workers(tmp_path: Path) -> None:
    toml = TOML.replace('plugins = ["hello"]', 'plugins = ["pingap:stats", "hello"]')
    with Process(toml, tmp_path) as proxy:
        for _ in range(40):
            get(proxy)
        found = json.loads(get(proxy, "/stats"))
        assert (found["accepted"], found["location_accepted"], found["processing"]) == (41, 41, 1)
        os.kill(proxy.workers[0], signal.SIGKILL)
        proxy.wait_for_log("will be replaced")
        accepted = json.loads(get(proxy, "/stats"))["accepted"]
        assert accepted in (41, 42)  # one that was killed while it answered /stats did not count it


def test_a_plugin_that_cannot_start_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "never.py").write_text(
        "from pingap import Plugin, PluginSettings\n"
        "class Never(Plugin):\n"
        "    class Settings(PluginSettings):\n        pass\n"
        "    def __init__(self, settings: Settings) -> None:\n        pass\n"
        "    async def startup(self, tasks):\n        raise OSError('no such service')\n"
    )
    toml = TOML.replace(
        'category = "mock"\nstatus = 200\ndata = "hello"', 'category = "python"\npath = "never.py"'
    )
    with pytest.raises(AssertionError, match="plugin hello cannot start: no such service"):
        Process(toml, tmp_path)


@pytest.mark.parametrize("option", ["reuse_port = true", ""])
def test_all_workers_get_connections(tmp_path: Path, option: str) -> None:
    (tmp_path / "whoami.py").write_text(
        "import os\nfrom pingap import Plugin, PluginSettings, Response, hookimpl\n"
        "class WhoAmI(Plugin):\n"
        "    class Settings(PluginSettings):\n        pass\n"
        "    def __init__(self, settings: Settings) -> None:\n        pass\n"
        "    @hookimpl\n    def request(self):\n        return Response(200, str(os.getpid()).encode())\n"
    )
    toml = TOML.replace(
        'category = "mock"\nstatus = 200\ndata = "hello"', 'category = "python"\npath = "whoami.py"'
    )
    with Process(toml.replace("addr = ", f"{option}\naddr = "), tmp_path) as proxy:
        seen: set[str] = set()
        until(lambda: seen.add(get(proxy)) or len(seen) == 2)  # type: ignore[func-returns-value]
        assert seen == set(map(str, proxy.workers))
