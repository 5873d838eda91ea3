"""Plugin instances that a distribution brings along, without a table in the configuration."""

from __future__ import annotations

from pathlib import Path

from support.check import check
from support.command import invoke
from support.plugins import installed, python_path, routes, write_distribution

from pingap.testing import Proxy, Upstream

SOURCE = """
class Say(Plugin):
    category = "say"

    class Settings(PluginSettings):
        text: str

    def __init__(self, settings, table):
        self.text = f"{table.name} {settings.text}"

    @hookimpl
    def request(self): return Response.text(200, self.text)


@hookimpl
def pingap_instances():
    return {
        "acme:hello": {"category": "say", "text": "hello"},
        "pingap:ping": {"category": "say", "text": "other"},
        "acme:wrong": {"category": "say", "txt": "hello"},
    }
"""
POINTS = {"say": "says:Say", "instance:acme:hello": "says", "instance:acme:wrong": "says"}
REPLACED = {**POINTS, "instance:pingap:ping": "says"}


def test_hook_pingap_instances_are_listed_without_a_table(
    tmp_path: Path, upstream: Upstream
) -> None:
    write_distribution(tmp_path / "site", "says", SOURCE, REPLACED)
    toml = routes({"a": "acme:hello", "b": "pingap:ping"}, upstream.addr)
    with installed(tmp_path / "site"), Proxy(toml) as proxy, proxy.connect() as client:
        assert client.get("/a/").body == b"acme:hello hello"
        assert client.get("/b/").body == b"pingap:ping other"  # in place of that of pingap


def test_mistakes_in_and_with_instances_are_told(tmp_path: Path) -> None:
    write_distribution(tmp_path / "site", "says", SOURCE, POINTS)
    code, said = check(tmp_path, '[locations.a]\nplugins = ["acme:wrong"]\n')
    assert code == 2
    assert 'plugins."acme:wrong".txt: unknown key; did you mean "text"?' in said
    own = '[plugins."acme:hello"]\ncategory = "mock"\n'
    assert check(tmp_path, f'{own}[locations.a]\nplugins = ["acme:helo"]\n') == (
        2,
        'p.toml:1: plugins."acme:hello": this name belongs to a built-in plugin\n'
        'p.toml:4: locations.a.plugins[0]: no plugin block is named "acme:helo"; did you mean'
        ' "acme:hello"?\n2 problems.\n',
    )


def test_an_instance_without_a_category_is_an_error_of_the_distribution(tmp_path: Path) -> None:
    broken = SOURCE.replace('{"category": "say", "text": "hello"}', "{}")
    write_distribution(tmp_path / "site", "says", broken, POINTS)
    code, said = check(tmp_path, '[locations.a]\nplugins = ["acme:hello"]\n')
    assert code == 2
    reason = 'says cannot be loaded: the instance "acme:hello": its table needs a category'
    assert reason in said


def test_instances_are_listed_with_their_uses(tmp_path: Path) -> None:
    write_distribution(tmp_path / "site", "says", SOURCE, POINTS)
    path = tmp_path / "pingap.toml"
    path.write_text(routes({"a": "acme:hello"}, "127.0.0.1:9"))
    code, out, _ = invoke("plugins", "-c", path, **python_path(tmp_path / "site"))
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    wanted = ["instance", "acme:hello", "yes", "acme:hello", "(a)"]
    assert any(row[-5:] == wanted for row in rows)
