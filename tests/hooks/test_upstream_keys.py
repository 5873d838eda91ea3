"""Keys of upstreams that distributions claim: their phases run for attempts at this upstream."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import invoke
from support.plugins import python_path, write_distribution
from support.process import Process

from pingap.testing import Upstream

SOURCE = """
class Sign(Plugin):
    adds_headers = ("X-Key",)

    class Settings(PluginSettings):
        sign: str
        rescue: bool = False

    def __init__(self, settings, table):
        self.settings, self.table = settings, table

    @hookimpl
    def upstream_request(self, headers, ctx):
        headers.add("X-Signed", f"{self.settings.sign} {self.table.name}")

    @hookimpl
    def upstream_attempt(self, attempt, ctx):
        log.warning("attempt %d at %s", attempt.number, self.table.name)

    @hookimpl
    def upstream_error(self, error):
        if self.settings.rescue:
            return Response.text(200, f"rescued {error.status}")

    @hookimpl
    def upstream_response(self, response):
        response.headers.add("X-Signed", self.settings.sign)


class Choose(Plugin):
    category = "choose"

    @hookimpl
    def request(self, request, ctx):
        if request.query:
            ctx.upstream = request.query

    @hookimpl
    def upstream_request(self, headers):
        headers.add("X-Signed", "location")


@hookimpl
def pingap_upstream_keys(): return {"sign": Sign, "rescue": Sign}
"""
POINTS = {"upstream:sign": "signs", "upstream:rescue": "signs", "choose": "signs:Choose"}
TOML = """
[plugins.choose]
category = "choose"
[locations.chosen]
path = "/chosen"
upstream = "plain"
plugins = ["choose"]
[locations.timed]
path = "/timed"
upstream = "signed"
plugin_timing = true
[locations.all]
upstream = "signed"
[upstreams.signed]
addrs = ["{addr}"]
health_check = "none"
sign = "A"
[upstreams.other]
addrs = ["{addr}"]
health_check = "none"
sign = "B"
[upstreams.plain]
addrs = ["{addr}"]
health_check = "none"
[upstreams.dead]
addrs = ["127.0.0.1:9"]
health_check = "none"
sign = "D"
rescue = true
[servers.web]
addr = "127.0.0.1:0"
locations = ["chosen", "timed", "all"]
"""


@pytest.fixture
def site(tmp_path: Path) -> dict[str, str]:
    write_distribution(tmp_path / "site", "signs", SOURCE, POINTS)
    return python_path(tmp_path / "site")


@pytest.fixture
def proxy(tmp_path: Path, upstream: Upstream, site: dict[str, str]) -> Iterator[Process]:
    with Process(TOML.replace("{addr}", upstream.addr), tmp_path / "proxy", env=site) as running:
        yield running


def signed(headers: list[tuple[str, str]]) -> list[str]:
    return [value for name, value in headers if name == "X-Signed"]


def test_hook_pingap_upstream_keys_run_for_attempts_at_the_upstream(
    proxy: Process, upstream: Upstream
) -> None:
    with proxy.connect() as client:
        for path in ("/", "/timed"):
            assert signed(client.get(path).headers) == ["A"]
            assert signed(upstream.requests[-1].headers) == ["A signed"]
    assert proxy.wait_for_log("attempt 1 at signed")


def test_they_run_behind_the_location_for_the_upstream_that_a_plugin_chose(
    proxy: Process, upstream: Upstream
) -> None:
    with proxy.connect() as client:
        assert signed(client.get("/chosen").headers) == []
        assert signed(upstream.requests[-1].headers) == ["location"]
        for name, word in (("other", "B"), ("signed", "A"), ("other", "B")):
            assert signed(client.get(f"/chosen?{name}").headers) == [word]
            assert signed(upstream.requests[-1].headers) == ["location", f"{word} {name}"]
        assert client.get("/chosen?dead").body == b"rescued 502"


def test_a_client_cannot_send_what_they_add(proxy: Process, upstream: Upstream) -> None:
    with proxy.connect() as client:
        for path, kept in (("/", []), ("/chosen", ["forged"])):
            client.get(path, headers={"X-Key": "forged"})
            found = [value for name, value in upstream.requests[-1].headers if name == "X-Key"]
            assert found == kept


def test_a_name_with_an_underscore_does_not_get_past_that(
    proxy: Process, upstream: Upstream
) -> None:
    with proxy.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX_Key: forged\r\nX_Other: kept\r\n\r\n")
        client.answer()
    names = [name for name, _ in upstream.requests[-1].headers]
    assert "X_Other" in names
    assert "X_Key" not in names


def test_a_reload_changes_them_and_keeps_connections(proxy: Process, upstream: Upstream) -> None:
    with proxy.connect() as client:
        client.get("/")
        toml = proxy.conf.read_text().replace('sign = "A"', 'sign = "C"')
        proxy.conf.write_text(toml)
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("the configuration was reloaded")
        assert signed(client.get("/").headers) == ["C"]
    assert upstream.connections == 1


def test_explain_shows_them(tmp_path: Path, site: dict[str, str]) -> None:
    path = tmp_path / "pingap.toml"
    path.write_text(TOML.replace("{addr}", "127.0.0.1:9"))
    _, out, _ = invoke("explain", "GET", "/", "--server", "web", "-c", path, **site)
    assert "Sign.upstream_request" in out
    assert "upstreams.signed.sign" in out
