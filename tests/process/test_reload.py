"""Reloading: what takes effect, what goes on undisturbed, and what becomes of a mistake."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from support.h2 import GOAWAY
from support.h2_origin import H2Served, h2_script
from support.local_plugin import local_plugin
from support.process import Process
from support.rig import configure
from support.waiting import until

from pingap.testing import Served, Upstream

TOML = """
[basic]
threads = {threads}
[upstreams.origin]
addrs = ["{addr}"]
[plugins.hello]
category = "mock"
path = "/hello"
status = 200
data = "{text}"
[locations.all]
upstream = "origin"
plugins = ["hello"]
{location}
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
prometheus_metrics = "/metrics"
"""


class Site:
    """A proxy whose configuration is changed while it serves."""

    def __init__(self, proxy: Process, origin: Upstream) -> None:
        self.proxy = proxy
        self.origin = origin

    def write(self, text: str = "one", *, threads: int = 2, location: str = "") -> None:
        toml = TOML.format(addr=self.origin.addr, text=text, threads=threads, location=location)
        temporary = self.proxy.conf.with_suffix(".new")
        temporary.write_text(toml)
        temporary.replace(self.proxy.conf)

    def hello(self) -> str:
        with self.proxy.connect() as client:
            return client.get("/hello").body.decode()

    def reload(self) -> None:
        before = self.proxy.log.count("the configuration")
        self.proxy.process.send_signal(signal.SIGHUP)
        until(lambda: self.proxy.log.count("the configuration") > before, self.proxy.log)


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    arguments = getattr(request, "param", ())
    with Upstream() as origin:
        toml = TOML.format(addr=origin.addr, text="one", threads=2, location="")
        with Process(toml, tmp_path, *arguments) as proxy:
            yield Site(proxy, origin)


def test_every_worker_serves_the_new_configuration(site: Site) -> None:
    assert site.hello() == "one"
    site.write("two")
    site.reload()
    assert {site.hello() for _ in range(20)} == {"two"}
    assert '[MODIFIED] plugin:hello\n- data = "one"\n+ data = "two"' in site.proxy.log
    first, _ = site.proxy.workers
    os.kill(first, signal.SIGKILL)
    site.proxy.wait_for_log("will be replaced")
    assert {site.hello() for _ in range(20)} == {"two"}


def test_a_mistake_changes_nothing_and_is_told(site: Site) -> None:
    site.write("two", location='plugin = ["hello"]')
    site.reload()
    assert site.hello() == "one"
    log = site.proxy.log
    assert "ERROR the configuration stays as it was; the new one is wrong" in log
    assert re.search(
        r'pingap.toml:14: locations.all.plugin: unknown key; did you mean "plugins"?', log
    )
    first, _ = site.proxy.workers
    os.kill(first, signal.SIGKILL)  # its replacement does not need the files
    site.proxy.wait_for_log("will be replaced")
    assert {site.hello() for _ in range(20)} == {"one"}
    site.write("three")
    site.reload()
    assert site.hello() == "three"


def test_a_request_under_way_ends_as_it_began(site: Site, tmp_path: Path) -> None:
    def script(served: Served, request: object) -> None:
        site.write("two", location='proxy_set_headers = ["X-New: yes"]')
        site.reload()
        served.respond(b"late")

    site.origin.on("/slow", script)
    with site.proxy.connect() as client:
        answer = client.get("/slow")
        assert (answer.body, answer.header("connection")) == (b"late", None)
        assert client.get("/hello").body == b"two"  # on the same connection


def test_connections_to_an_unchanged_upstream_are_kept(site: Site) -> None:
    with site.proxy.connect() as client:
        client.get("/a")
        site.write("two")
        site.reload()
        client.get("/b")
    a, b = site.origin.requests
    assert a.connection == b.connection


def test_counters_go_on(site: Site) -> None:
    for _ in range(5):
        site.hello()
    site.write("two")
    site.reload()
    site.hello()
    with site.proxy.connect() as client:
        page = client.get("/metrics").body.decode()
    assert 'pingap_http_requests_total{location="all",server="web"} 6.0' in page


def test_what_needs_a_restart_is_told(site: Site) -> None:
    site.write("two", threads=3)
    site.reload()
    assert site.hello() == "two"
    assert "needs a restart to take effect: basic.threads" in site.proxy.wait_for_log("needs a")


@pytest.mark.parametrize("site", [["--autoreload"]], indirect=True)
def test_a_change_is_noticed(site: Site) -> None:
    site.write("two")
    until(lambda: site.hello() == "two")
    site.proxy.wait_for_log(f"changed: {site.proxy.conf}")
    site.write("wrong", location="path = 3")
    site.proxy.wait_for_log("the new one is wrong")
    site.write("three")
    until(lambda: site.hello() == "three")


PLUGIN = """
from pingap import Plugin, PluginSettings, Response, hookimpl
class Local(Plugin):
    class Settings(PluginSettings):
        pass
    def __init__(self, settings: Settings) -> None:
        self.count = 0
    @hookimpl
    def request(self):
        self.count += 1
        return Response(200, b"{text} %d" % self.count)
"""


def test_code_of_a_plugin_is_taken_up(tmp_path: Path) -> None:
    file = tmp_path / "local.py"
    file.write_text(PLUGIN.format(text="old"))
    with Process(local_plugin(), tmp_path, "--autoreload") as proxy:

        def ask() -> bytes:
            with proxy.connect() as client:
                return client.get("/").body

        assert [ask(), ask()] == [b"old 1", b"old 2"]
        file.write_text("class Local(")
        proxy.wait_for_log("is not valid Python")
        assert ask() == b"old 3"  # and it keeps its state
        file.write_text(PLUGIN.format(text="new"))
        until(lambda: ask().startswith(b"new"))


def test_a_plugin_whose_start_fails_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "local.py"
    file.write_text(PLUGIN.format(text="old"))
    toml = local_plugin(basic="threads = 2")
    with Process(toml, tmp_path) as proxy:
        bad = PLUGIN.format(text="bad") + (
            "    async def startup(self, tasks):\n        raise OSError('no such service')\n"
        )
        file.write_text(bad)
        proxy.process.send_signal(signal.SIGHUP)
        log = proxy.wait_for_log("cannot be served")
        assert "plugin local cannot start: no such service" in log
        with proxy.connect() as client:
            assert client.get("/").body.startswith(b"old")


LEAVING = """
import os
from pathlib import Path
from pingap import Plugin, Response, hookimpl
class Local(Plugin):
    async def startup(self, tasks):
        try:
            (Path(__file__).parent / "leave").unlink()
        except FileNotFoundError:
            return
        os._exit(7)
    @hookimpl
    def request(self):
        return Response(200, b"new")
"""
LOCAL = """
[basic]
threads = {threads}
[plugins.local]
category = "python"
path = "local.py"
[locations.all]
plugins = ["local"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
"""


def change_to_one_that_leaves(folder: Path) -> None:
    """Have one worker end while it prepares the new configuration."""
    (folder / "leave").touch()
    new = folder / "local.new"
    new.write_text(LEAVING)
    new.replace(folder / "local.py")


def answers(proxy: Process) -> set[bytes]:
    """Return what a few requests get, each on a connection of its own."""
    found = set()
    for _ in range(8):
        with proxy.connect() as client:
            found.add(client.get("/").body)
    return found


def test_a_reload_that_failed_for_a_time_only_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "local.py").write_text(PLUGIN.format(text="old"))
    with Process(LOCAL.format(threads=1), tmp_path, "--autoreload") as proxy:
        change_to_one_that_leaves(tmp_path)
        proxy.wait_for_log("ended while it prepared it", 20)
        proxy.wait_for_log("the new configuration is tried again in 1 s")
        log = proxy.wait_for_log("the configuration was reloaded", 20)
        assert log.count("is tried again") == 1
        assert answers(proxy) == {b"new"}


def test_a_worker_that_ends_while_it_prepares_begins_with_the_new_configuration(
    tmp_path: Path,
) -> None:
    (tmp_path / "local.py").write_text(PLUGIN.format(text="old"))
    with Process(LOCAL.format(threads=2), tmp_path) as proxy:
        before = set(proxy.workers)
        change_to_one_that_leaves(tmp_path)
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("the configuration was reloaded", 20)
        until(lambda: len(proxy.workers) == 2 and set(proxy.workers) != before)
        assert len(before & set(proxy.workers)) == 1
        until(lambda: answers(proxy) == {b"new"})
        assert answers(proxy) == {b"new"}
        assert "cannot be served" not in proxy.log


WAITING = """
from pathlib import Path
import anyio
from pingap import Plugin, Response, hookimpl
class Local(Plugin):
    async def startup(self, tasks):
        here = Path(__file__).parent
        (here / "began").touch()
        while not (here / "go").exists(): await anyio.sleep(0.01)
    @hookimpl
    def request(self):
        return Response(200, b"new")
"""


def test_a_worker_that_is_killed_in_the_middle_of_a_reload_is_replaced_by_a_new_one(
    tmp_path: Path,
) -> None:
    """It is forked when the reload is over, so it has what the others have."""
    (tmp_path / "local.py").write_text(PLUGIN.format(text="old"))
    with Process(LOCAL.format(threads=2), tmp_path) as proxy:
        before = proxy.workers
        (tmp_path / "local.new").write_text(WAITING)
        (tmp_path / "local.new").replace(tmp_path / "local.py")
        proxy.process.send_signal(signal.SIGHUP)
        until((tmp_path / "began").exists, 20)
        os.kill(before[0], signal.SIGKILL)
        proxy.wait_for_log("was killed by SIGKILL", 20)
        assert proxy.workers == before[1:]
        (tmp_path / "go").touch()
        proxy.wait_for_log("the configuration was reloaded", 20)
        until(lambda: len(proxy.workers) == 2, 20)
        until(lambda: answers(proxy) == {b"new"})
        assert [answers(proxy) for _ in range(3)] == [{b"new"}] * 3
        assert before[1] in proxy.workers


def test_a_backend_of_http2_that_goes_ends_its_streams_first(tmp_path: Path) -> None:
    asked, go, goaways = Event(), Event(), []

    def hold(served: H2Served) -> None:
        while (request := served.request()) is not None:
            asked.set()
            assert go.wait(10)
            served.respond(request.stream, b"first")
        goaways.append(next(one for one in served.seen if one.kind == GOAWAY))

    def quick(served: H2Served) -> None:
        while (request := served.request()) is not None:
            served.respond(request.stream, b"second")

    keys = {"upstream": 'alpn = "H2"\nmax_h2_streams = 10', "basic": "threads = 1"}
    with (
        Upstream(h2_script(hold)) as first,
        Upstream(h2_script(quick)) as second,
        Process(configure(first.addr, **keys), tmp_path) as proxy,
        proxy.connect() as waiting,
    ):
        waiting.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert asked.wait(10)
        proxy.conf.write_text(configure(second.addr, **keys))
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("was reloaded")
        with proxy.connect() as client:
            assert client.get("/").body == b"second"
        assert not goaways
        go.set()
        assert waiting.answer().body == b"first"
        until(lambda: goaways)


def test_nothing_grows_with_reloads(site: Site) -> None:
    def state() -> list[tuple[int, int]]:
        return [
            (
                len(list(Path(f"/proc/{pid}/fd").iterdir())),
                int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096,
            )
            for pid in (site.proxy.process.pid, *site.proxy.workers)
        ]

    for number in range(10):  # caches fill
        site.write(f"{number}")
        site.reload()
    before = state()
    for number in range(40):
        site.write(f"{number}")
        site.reload()
    for (files, memory), (files_now, memory_now) in zip(before, state(), strict=True):
        assert files_now <= files + 2
        assert memory_now < memory + 4 * 1024 * 1024
