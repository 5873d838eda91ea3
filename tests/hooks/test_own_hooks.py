"""Hooks that a distribution defines, and another one implements."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.check import check
from support.command import invoke
from support.plugins import installed, python_path, routes, write_distribution

from pingap.testing import Proxy, Upstream

DEFINER = '''
class Specs:
    @hookspec
    def zoo_sounds(self, loud):
        """Name sounds."""


class Zoo(Plugin):
    category = "zoo"

    async def startup(self, tasks, worker):
        self.worker = worker

    @hookimpl
    def request(self):
        return Response.text(200, " ".join(sorted(self.worker.hooks.zoo_sounds(loud=True))))


@hookimpl
def pingap_plugin_categories(): return [Zoo]

@hookimpl
def pingap_hookspecs(): return [Specs]
'''
IMPLEMENTER = """
@hookimpl
def zoo_sounds(loud): return "MOO" if loud else "moo"

@hookimpl
async def pingap_startup(): log.warning("cows start")

class Cow(Plugin):
    category = "cow"

    @hookimpl
    def response(self): pass

@hookimpl
def pingap_plugin_categories(): return [Cow]
"""
POINTS = {"hooks:the-zoo": "cows", "cow": "cows"}


def install(folder: Path, definer: str = DEFINER, implementer: str = IMPLEMENTER) -> dict[str, str]:
    write_distribution(folder, "the_zoo", definer, {"zoo": "the_zoo"})
    write_distribution(folder, "cows", implementer, POINTS)
    cats = "@hookimpl\ndef zoo_sounds(): return 'meow'\n"
    write_distribution(folder, "cats", cats, {"hooks:The_Zoo": "cats"})
    return python_path(folder)


def test_hook_pingap_hookspecs_are_implemented_by_others(
    tmp_path: Path, upstream: Upstream
) -> None:
    install(tmp_path / "site")
    toml = routes({"a": "zoo"}, upstream.addr, more='[plugins.zoo]\ncategory = "zoo"')
    with installed(tmp_path / "site"), Proxy(toml) as proxy, proxy.connect() as client:
        assert client.get("/a/").body == b"MOO meow"
        assert "cows start" in proxy.log  # it was loaded with the one that defines the hook


def test_an_implementation_waits_for_the_distribution_that_defines_the_hook(tmp_path: Path) -> None:
    install(tmp_path / "site")
    valid = (0, "The configuration is valid.\n")
    toml = '[plugins.cow]\ncategory = "cow"\n'
    assert check(tmp_path, toml) == valid
    assert check(tmp_path, f'{toml}[plugins.zoo]\ncategory = "zoo"\n') == valid


@pytest.mark.parametrize(
    ("definer", "implementer", "told"),
    [
        (
            DEFINER.replace("def zoo_sounds", "def request_body"),
            IMPLEMENTER,
            'the-zoo cannot be loaded: the hook "request_body" belongs to pingap',
        ),
        (
            DEFINER.replace("def zoo_sounds", "def pingap_zoo"),
            IMPLEMENTER,
            'the-zoo cannot be loaded: the hook "pingap_zoo" belongs to pingap',
        ),
        (DEFINER, IMPLEMENTER.replace("(loud)", "(lout)"), "Argument(s) {'lout'} are declared"),
        (DEFINER, f"import not_there\n{IMPLEMENTER}", "cows cannot be loaded: No module named"),
        (DEFINER, IMPLEMENTER.replace("zoo_sounds", "pingap_sounds"), "unknown hook"),
    ],
)
def test_mistakes_name_the_distribution(
    tmp_path: Path, definer: str, implementer: str, told: str
) -> None:
    install(tmp_path / "site", definer, implementer)
    code, said = check(tmp_path, '[plugins.zoo]\ncategory = "zoo"\n')
    assert code == 2
    assert told in said


def test_a_hook_that_nobody_defines_is_an_error(tmp_path: Path) -> None:
    write_distribution(tmp_path / "site", "cows", IMPLEMENTER, {"cow": "cows"})
    code, said = check(tmp_path, '[plugins.cow]\ncategory = "cow"\n')
    assert code == 2
    assert "cows cannot be loaded: unknown hook 'zoo_sounds'" in said


def test_implementations_are_listed(tmp_path: Path) -> None:
    code, out, _ = invoke("plugins", **install(tmp_path / "site"))
    rows = [line.split() for line in out.splitlines()]
    assert code == 0
    assert any(row[-4:] == ["hooks", "of", "the-zoo", "yes"] for row in rows)
