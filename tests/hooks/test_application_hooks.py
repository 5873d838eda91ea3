"""Start, end, background work, and what distributions provide."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.plugins import python_path, routes, write_distribution
from support.process import Process
from support.waiting import until

from pingap.testing import Upstream

SOURCE = '''
class Worker(Plugin):
    """Works in the background, and tells how far it got."""

    category = "worker"

    class Settings(PluginSettings):
        tag: str = "w"
        fails_in: str = ""

    def __init__(self, settings): self.settings, self.ready = settings, False

    async def startup(self, tasks):
        if self.settings.fails_in == "startup":
            raise OSError("no such database")
        log.warning("startup %s", self.settings.tag)
        self.done = anyio.Event()
        tasks.start_soon(self.work)

    async def work(self):
        if self.settings.fails_in == "work":
            raise OSError("lost the database")
        await anyio.sleep(0)
        self.ready = True
        self.done.set()
        try:
            await anyio.sleep_forever()
        finally:
            log.warning("cancelled %s", self.settings.tag)

    async def shutdown(self):
        log.warning("shutdown %s", self.settings.tag)
        if self.settings.fails_in == "shutdown":
            raise OSError("database was gone")

    @hookimpl
    async def request(self):
        await self.done.wait()
        return Response.text(200, f"ready {self.ready}")


@hookimpl
def pingap_plugin_categories(): return [Worker]


@hookimpl
async def pingap_startup():
    log.warning("distribution starts")


@hookimpl
async def pingap_shutdown():
    log.warning("distribution ends")
'''
TWO = """
[plugins.one]
category = "worker"
tag = "one"
[plugins.two]
category = "worker"
tag = "two"
"""


def install(folder: Path, source: str = SOURCE, name: str = "app_hooks") -> dict[str, str]:
    write_distribution(folder, name, source, {"worker": name})
    return python_path(folder)


def fail_to_start(folder: Path, toml: str, env: dict[str, str]) -> str:
    """Return what a proxy says that must not start."""
    (folder / "pingap.toml").write_text(toml)
    done = subprocess.run(
        [sys.executable, "-m", "pingap", "-c", str(folder / "pingap.toml")],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 1, done.stderr
    return done.stderr


def test_hook_pingap_startup_and_shutdown_run_once_around_everything(
    tmp_path: Path, upstream: Upstream
) -> None:
    env = install(tmp_path / "site")
    toml = routes({"both": "one two", "again": "one"}, upstream.addr, more=TWO)
    with Process(toml, tmp_path / "proxy", env=env) as proxy:
        with proxy.connect() as client:
            assert client.get("/both/").body == b"ready True"
        assert proxy.stop() == 0
        words = [line.split("WARN ")[-1] for line in proxy.log.splitlines() if " WARN " in line]
    assert words[:3] == ["distribution starts", "startup one", "startup two"]
    assert sorted(words[3:]) == sorted(
        ["distribution ends"]
        + [f"{what} {tag}" for what in ("shutdown", "cancelled") for tag in ("one", "two")]
    )
    for tag in ("one", "two"):
        assert words.index(f"shutdown {tag}") < words.index(f"cancelled {tag}")


def test_hook_pingap_startup_runs_once_in_each_worker_whatever_reloads_bring(
    tmp_path: Path, upstream: Upstream
) -> None:
    """Also when a reload is discarded after the hook, and when a worker is replaced."""
    env = install(tmp_path / "site", f"import os\n{SOURCE}".replace(
        '"distribution starts"', '"distribution starts in %d", os.getpid()'
    ))  # fmt: skip
    plain = routes({"a": ""}, upstream.addr, more="[basic]\nthreads = 2\n")
    used = routes({"a": "one"}, upstream.addr, more="[basic]\nthreads = 2\n" + TWO)
    broken = used.replace('tag = "two"', 'tag = "two"\nfails_in = "startup"')

    def started(proxy: Process) -> list[int]:
        return sorted(map(int, re.findall(r"distribution starts in (\d+)", proxy.log)))

    with Process(plain, tmp_path / "proxy", env=env) as proxy:
        first = sorted(proxy.workers)
        for toml, said in (
            (broken, "cannot be served"),
            (used, "was reloaded"),
            (plain, "was reloaded"),
            (used, "was reloaded"),
        ):
            before = proxy.log.count(said)
            proxy.conf.write_text(toml)
            proxy.process.send_signal(signal.SIGHUP)
            until(lambda: proxy.log.count(said) > before, 30)  # noqa: B023
        assert started(proxy) == first
        os.kill(first[0], signal.SIGKILL)
        until(lambda: len(started(proxy)) == 3, 30)
        assert set(started(proxy)) == {*first, *proxy.workers}


def test_startup_is_over_before_anything_is_announced(tmp_path: Path, upstream: Upstream) -> None:
    env = install(tmp_path / "site")
    with Process(
        routes({"a": "one"}, upstream.addr, more=TWO), tmp_path / "proxy", env=env
    ) as proxy:
        assert "startup one" in proxy.wait_for_log("startup one", 0.1)


def test_startup_that_raises_ends_the_start_and_names_the_instance(tmp_path: Path) -> None:
    env = install(tmp_path / "site")
    more = '[plugins.broken]\ncategory = "worker"\nfails_in = "startup"'
    told = fail_to_start(tmp_path, routes({"a": "broken"}, "127.0.0.1:9", more=more), env)
    assert "pingap: plugin broken cannot start" in told
    assert "is serving" not in told


def test_startup_that_raises_tells_why(tmp_path: Path) -> None:
    env = install(tmp_path / "site")
    more = '[plugins.broken]\ncategory = "worker"\nfails_in = "startup"'
    told = fail_to_start(tmp_path, routes({"a": "broken"}, "127.0.0.1:9", more=more), env)
    assert "pingap: plugin broken cannot start: no such database" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("place", ["work", "shutdown"])
def test_background_and_shutdown_that_raise_are_logged(
    tmp_path: Path, upstream: Upstream, place: str
) -> None:
    env = install(tmp_path / "site")
    more = f'[plugins.broken]\ncategory = "worker"\nfails_in = "{place}"{TWO}'
    toml = routes({"a": "broken two", "b": ""}, upstream.addr, more=more)
    with Process(toml, tmp_path / "proxy", env=env) as proxy:
        with proxy.connect() as client:
            assert client.get("/b/").body == b"ok"
        if place == "work":
            proxy.wait_for_log("plugin broken failed in the background task")
        assert proxy.stop() == 0
        log = proxy.log
    told = {"work": "the background task", "shutdown": "shutdown"}[place]
    assert f"plugin broken failed in {told}" in log
    assert {"work": "lost the database", "shutdown": "database was gone"}[place] in log
    assert "shutdown two" in log
    assert "distribution ends" in log


def test_hook_pingap_startup_that_raises_names_the_distribution(tmp_path: Path) -> None:
    env = install(
        tmp_path / "site",
        SOURCE.replace(
            'log.warning("distribution starts")', 'raise RuntimeError("no licence file")'
        ),
    )
    told = fail_to_start(tmp_path, routes({"a": "one"}, "127.0.0.1:9", more=TWO), env)
    assert "no licence file" in told
    assert "Traceback" not in told
    assert "app-hooks" in told


def test_hook_pingap_shutdown_that_raises_is_logged(tmp_path: Path, upstream: Upstream) -> None:
    broken = SOURCE.replace('log.warning("distribution ends")', 'raise RuntimeError("cannot end")')
    env = install(tmp_path / "site", broken)
    with Process(
        routes({"a": "one"}, upstream.addr, more=TWO), tmp_path / "proxy", env=env
    ) as proxy:
        assert proxy.stop() == 0
        assert "cannot end" in proxy.log


CLAIM = '''
class Reached(Plugin):
    """Claims the key ``motto`` of locations."""

    category = "reached"

    class Settings(PluginSettings):
        motto: str

    def __init__(self, settings):
        if settings.motto == "worst":
            raise ValueError("not this one")
        self.motto = settings.motto

    @classmethod
    @hookimpl
    def pingap_location_keys(cls): return {"motto": cls}

    @hookimpl
    def response(self, response):
        response.headers.add("X-Order", self.motto)


class Tail(Plugin):
    category = "tail"

    @hookimpl
    def response(self, response): response.headers.add("X-Order", "listed")
'''
CLAIM_POINTS = {"location:motto": "claims:Reached", "tail": "claims:Tail"}


def test_hook_pingap_location_keys_put_an_instance_in_front(
    tmp_path: Path, upstream: Upstream
) -> None:
    write_distribution(tmp_path / "site", "claims", CLAIM, CLAIM_POINTS)
    locations = {"a": 'tail\nmotto = "first"', "b": 'tail\nmotto = "other"', "c": "tail"}
    toml = routes(locations, upstream.addr, more='[plugins.tail]\ncategory = "tail"')
    with (
        Process(toml, tmp_path / "proxy", env=python_path(tmp_path / "site")) as proxy,
        proxy.connect() as client,
    ):
        for name, order in {
            "a": ["first", "listed"],
            "b": ["other", "listed"],
            "c": ["listed"],
        }.items():
            headers = client.get(f"/{name}/").headers
            assert [value for key, value in headers if key == "X-Order"] == order


def test_hook_pingap_location_keys_are_checked_as_settings(tmp_path: Path) -> None:
    write_distribution(tmp_path / "site", "claims", CLAIM, CLAIM_POINTS)
    path = tmp_path / "pingap.toml"
    path.write_text(
        '[locations.a]\nmotto = 3\n[locations.b]\nmoto = "x"\n[locations.c]\nmotto="worst"\n'
        '[servers.web]\naddr = "127.0.0.1:0"\nlocations = ["a", "b", "c"]\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "pingap", "-t", "-c", str(path)],
        env={**os.environ, **python_path(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"{path}:2: locations.a.motto: found 3 (integer), expected a string\n"
        f"{path}:4: locations.b.moto: unknown key\n"
        f"{path}:5: locations.c: cannot be built: not this one\n"
        "3 problems.\n"
    )


DISCOVERY = '''
class Inventory(Discovery):
    """Reads backends from the file that is its address."""

    word = "inventory"

    def add(self, text):
        if not text.startswith("/"):
            raise ValueError(f"{text!r} is no path")
        self.path = text

    async def find(self):
        listed = await anyio.Path(self.path).read_text()
        return Discovered([self.parse(line) for line in listed.split()])


@hookimpl
def pingap_discoveries(): return [Inventory]
'''


def test_hook_pingap_discoveries_find_backends(tmp_path: Path, upstream: Upstream) -> None:
    points = {"discovery:inventory": "stock"}
    write_distribution(tmp_path / "site", "stock", DISCOVERY, points)
    file = tmp_path / "backends"
    toml = routes({"a": ""}, str(file)).replace(
        "[upstreams.origin]", '[upstreams.origin]\ndiscovery = "inventory"\nupdate_frequency = "1s"'
    )
    env = python_path(tmp_path / "site")
    with Process(toml, tmp_path / "proxy", env=env) as proxy, proxy.connect() as client:
        assert client.get("/a/").status == 503
        log = proxy.wait_for_log("service_discover_fail: upstream origin: inventory discovery: ")
        assert "upstream origin has no backends yet" in log
        file.write_text(upstream.addr)
        proxy.wait_for_log("upstream origin: all lookups succeed again")
        assert client.get("/a/").status == 200


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (DISCOVERY, "upstreams.a.addrs[0]: 'x' is no path"),
        (
            DISCOVERY.replace("[Inventory]", "[1 / 0]"),
            "upstreams.a.discovery: stock cannot be loaded: division by zero",
        ),
        (
            DISCOVERY.replace('    word = "inventory"', ""),
            'upstreams.a.discovery: stock cannot be loaded: stock.Inventory: set word = "..." on the'
            " class",
        ),
        (
            DISCOVERY.replace('word = "inventory"', 'word = "other"'),
            "upstreams.a.discovery: the entry point 'discovery:inventory' of stock does not refer to a"
            " discovery: it must be MODULE:CLASS, of a subclass of pingap.Discovery with word ="
            ' "inventory"',
        ),
    ],
)
def test_mistakes_of_and_with_discoveries_are_told(tmp_path: Path, source: str, told: str) -> None:
    write_distribution(tmp_path / "site", "stock", source, {"discovery:inventory": "stock"})
    path = tmp_path / "pingap.toml"
    path.write_text('[upstreams.a]\ndiscovery = "inventory"\naddrs = ["x"]\n')
    done = subprocess.run(
        [sys.executable, "-m", "pingap", "-t", "-c", str(path)],
        env={**os.environ, **python_path(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 2
    assert told in done.stderr
