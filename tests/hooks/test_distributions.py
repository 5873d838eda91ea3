"""Distributions that do not fit, that are blocked, and hooks that are traced."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.check import check
from support.plugins import python_path, routes, write_distribution
from support.process import Process

from pingap import __version__
from pingap.build.registry import installed_registry
from pingap.testing import Upstream

NEWER = """
class Newer(Plugin):
    category = "newer"
    contract = "1.7"

    @hookimpl
    def request(self): pass
"""
CLAIMING = """
class Claim(Plugin):
    class Settings(PluginSettings):
        mirror: str

    @classmethod
    @hookimpl
    def pingap_location_keys(cls): return {"mirror": cls}

    @classmethod
    @hookimpl
    def pingap_plugin_categories(cls): return ()
"""


def test_distribution_that_needs_another_contract_is_one_error(tmp_path: Path) -> None:
    write_distribution(tmp_path / "site", "my_newer", NEWER)
    assert check(tmp_path, '[plugins.x]\ncategory = "newer"\n') == (
        2,
        'p.toml:2: plugins.x.category: "newer": my-newer cannot be loaded: my_newer.Newer: needs '
        f"hook contract 1.7, and this pingap ({__version__}) has 1.1: a newer pingap is needed\n"
        "1 problem.\n",
    )


def test_distribution_that_imports_a_newer_name_learns_the_contract(tmp_path: Path) -> None:
    source = f"from pingap import NotYetThere\n{NEWER}"
    write_distribution(tmp_path / "site", "my_newer", source)
    code, said = check(tmp_path, '[plugins.x]\ncategory = "newer"\n')
    assert code == 2
    assert "my-newer cannot be loaded: cannot import name 'NotYetThere' from 'pingap'" in said
    assert f"; this pingap ({__version__}) has 1.1 of the hook contract\n1 problem." in said


# PINGAP_BLOCK_PLUGINS


@pytest.mark.parametrize("names", ["pingap-basics", "Pingap_Basics", "x-y, pingap.basics ,"])
def test_a_blocked_distribution_counts_as_not_installed(tmp_path: Path, names: str) -> None:
    toml = '[plugins.x]\ncategory = "mock"\n[locations.a]\nplugins = ["pingap:ping"]\n'
    code, said = check(tmp_path, toml, {"PINGAP_BLOCK_PLUGINS": names})
    assert code == 2
    blocked = "its distribution pingap-basics is blocked by PINGAP_BLOCK_PLUGINS"
    assert f'p.toml:2: plugins.x.category: "mock": {blocked}\n' in said
    assert f'"ping": {blocked}\n' in said
    assert "2 problems." in said


def test_what_is_not_blocked_is_used(tmp_path: Path) -> None:
    write_distribution(tmp_path / "site", "other", NEWER.replace("1.7", "1.0"))
    env = {"PINGAP_BLOCK_PLUGINS": "pingap-basics"}
    said = "The configuration is valid.\n"
    assert check(tmp_path, '[plugins.x]\ncategory = "newer"\n', env) == (0, said)


def test_one_of_two_providers_can_be_blocked(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_distribution(tmp_path / "site", name, NEWER.replace("1.7", "1.0"))
    toml = '[plugins.x]\ncategory = "newer"\n'
    assert check(tmp_path, toml)[0] == 2
    assert check(tmp_path, toml, {"PINGAP_BLOCK_PLUGINS": "two"})[0] == 0


def test_a_location_key_of_a_blocked_distribution_says_so(tmp_path: Path) -> None:
    write_distribution(tmp_path / "site", "claims", CLAIMING, {"location:mirror": "claims:Claim"})
    toml = '[locations.a]\nmirror = "x"\n'
    assert check(tmp_path, toml)[0] == 0
    assert check(tmp_path, toml, {"PINGAP_BLOCK_PLUGINS": "claims"}) == (
        2,
        "p.toml:2: locations.a.mirror: its distribution claims is blocked by"
        " PINGAP_BLOCK_PLUGINS\n1 problem.\n",
    )


def test_a_name_that_blocks_nothing_is_told(tmp_path: Path) -> None:
    code, said = check(tmp_path, "", {"PINGAP_BLOCK_PLUGINS": "pingap-basic"})
    assert code == 0
    assert said.startswith(
        'warning: PINGAP_BLOCK_PLUGINS: no plugin distribution is called "pingap-basic"; '
        'did you mean "pingap-basics"?\n'
    )


# PINGAP_TRACE_HOOKS

TRACED = """
class Sync(Plugin):
    category = "sync"

    @hookimpl
    def early_request(self): pass

    @hookimpl
    def logging(self): raise ValueError("on purpose")


class Async(Plugin):
    category = "slow"

    @hookimpl
    async def request(self):
        await anyio.sleep(0.05)
        return Response.text(200, "later")
"""
TABLES = (
    '[basic]\nlog_level = "error"\n[plugins.a]\ncategory = "sync"\n[plugins.b]\ncategory = "slow"\n'
)


def traced_log(tmp_path: Path, value: str) -> str:
    write_distribution(tmp_path / "site", "traced", TRACED)
    env = {**python_path(tmp_path / "site"), "PINGAP_TRACE_HOOKS": value}
    with Upstream() as origin:
        toml = routes({"shop": "a b"}, origin.addr, more=TABLES)
        with Process(toml, tmp_path / "proxy", env=env) as proxy, proxy.connect() as client:
            assert client.get("/shop/").body == b"later"
            return proxy.wait_for_log("on purpose")


def test_each_phase_call_is_told_with_its_time(tmp_path: Path) -> None:
    log = traced_log(tmp_path, "1")
    told = re.findall(r"INFO location (\w+), plugin (\w+), (\w+): (\d+) us(.*)", log)
    assert [(location, plugin, phase, rest) for location, plugin, phase, _, rest in told] == [
        ("shop", "a", "early_request", ""),
        ("shop", "b", "request", ", answered 200"),
        ("shop", "a", "logging", ", raised ValueError"),
    ]
    assert int(told[0][3]) < int(told[1][3])
    assert int(told[1][3]) >= 45_000  # (an event loop's 50 ms may be one less)


@pytest.mark.parametrize("value", ["", "0"])
def test_nothing_is_told_unless_asked_for(tmp_path: Path, value: str) -> None:
    assert "plugin b, request" not in traced_log(tmp_path, value)


def test_chains_are_not_wrapped_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs nothing when off: the chain holds the plugin's own methods."""
    from pingap.build.graph import build
    from pingap.config import parse

    toml = '[plugins.x]\ncategory = "response_headers"\n[locations.a]\nplugins = ["x"]\n'
    toml += '[servers.s]\naddr = "127.0.0.1:0"\nlocations = ["a"]\n'

    def call() -> object:
        runtime = build(parse(toml), installed_registry())
        runtime.log_files.close()
        found = runtime.servers["s"].router.match("", "/", None)  # type: ignore[arg-type]
        assert found is not None
        return found[0].chains.response[0][0]

    monkeypatch.delenv("PINGAP_TRACE_HOOKS", raising=False)
    assert getattr(call(), "__wrapped__", None) is None
    monkeypatch.setenv("PINGAP_TRACE_HOOKS", "1")
    assert getattr(call(), "__wrapped__", None) is not None
