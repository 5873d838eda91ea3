"""``pingap plugins``: what is installed, whether it loads, where it is used."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

from support.command import invoke
from support.plugins import python_path, write_distribution

CONF = """
[plugins.greeting]
category = "mock"
[plugins.spare]
category = "mock"
[locations.all]
plugins = ["pingap:ping", "greeting"]
[locations.some]
path = "/some"
plugins = ["greeting"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all", "some"]
"""


def conf(folder: Path, text: str = CONF) -> Path:
    path = folder / "pingap.toml"
    path.write_text(text)
    return path


def test_table_without_a_configuration() -> None:
    code, out, err = invoke("plugins")
    assert (code, err) == (0, "")
    head, *rows = [line.split() for line in out.splitlines()]
    assert head == ["DISTRIBUTION", "VERSION", "PROVIDES", "LOADED"]
    first = ["pingap-basics", version("pingap-basics"), "instance", "pingap:securityHeaders", "yes"]
    assert first in rows
    assert ["mock", "yes"] in rows


def test_table_with_uses(tmp_path: Path) -> None:
    code, out, _ = invoke("plugins", "-c", conf(tmp_path))
    assert code == 0
    lines = out.splitlines()
    assert any(line.endswith("greeting (all, some), spare (no location)") for line in lines)
    assert any(line.endswith("yes     pingap:ping (all)") for line in lines)
    assert len({line.index("yes") for line in lines[1:]}) == 1  # under each other


def test_json(tmp_path: Path) -> None:
    path = conf(tmp_path)
    code, out, _ = invoke("plugins", "--json", "-c", path)
    assert code == 0
    found = json.loads(out)
    (basics,) = [one for one in found["distributions"] if one["name"] == "pingap-basics"]
    assert basics["version"] == version("pingap-basics")
    mock = next(one for one in basics["provides"] if one["name"] == "mock")
    assert (mock["kind"], mock["loaded"], mock["error"]) == ("category", True, None)
    assert mock["class_name"] == "pingap_basics.mock.Mock"
    place = {"file": str(path), "line": 2}
    assert mock["uses"][0] == {"name": "greeting", "locations": ["all", "some"], "place": place}
    assert found["missing"] == []


def test_what_does_not_load_is_told_and_the_rest_is_shown(tmp_path: Path) -> None:
    write_distribution(
        tmp_path / "site",
        "test_broken",
        "raise RuntimeError('no luck')",
        {"broken": "test_broken:X"},
    )
    code, out, err = invoke("plugins", **python_path(tmp_path / "site"))
    assert (code, err) == (1, "")
    assert ["test-broken", "0.1", "broken", "no"] in [line.split() for line in out.splitlines()]
    assert "\ncategory broken: test-broken cannot be loaded: no luck\n" in out
    assert ["request_id", "yes"] in [line.split() for line in out.splitlines()]


def test_what_is_missing_is_told_with_what_to_install(tmp_path: Path) -> None:
    code, out, _ = invoke("plugins", "-c", conf(tmp_path, CONF.replace('"mock"', '"admin"', 1)))
    assert code == 1
    assert re.search(r"\(not installed\) +admin ", out)
    assert "greeting (all, some)" in out
    assert out.endswith(
        "category admin: needs the distribution pingap-admin, which this release does not contain yet\n"
    )


def test_location_keys_and_local_files(tmp_path: Path) -> None:
    source = """
    class Stamp(Plugin):
        category = "stamp"

        class Settings(PluginSettings):
            stamp: str

        @classmethod
        @hookimpl
        def pingap_location_keys(cls):
            return {"stamp": cls}
    """
    points = {"location:stamp": "test_stamp:Stamp"}
    write_distribution(tmp_path / "site", "test_stamp", source, points)
    text = CONF.replace("[locations.some]", '[locations.some]\nstamp = "x"')
    path = conf(tmp_path, f'{text}[plugins.own]\ncategory = "python"\npath = "own.py"\n')
    code, out, _ = invoke("plugins", "-c", path, **python_path(tmp_path / "site"))
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert ["test-stamp", "0.1", "location", "key", "stamp", "yes", "some"] in rows
    assert ["(local", "file)", "own", "-", "own", "(no", "location)"] in rows


def test_discoveries_and_one_that_is_missing(tmp_path: Path) -> None:
    source = """
    class Inventory(Discovery):
        word = "inventory"
        def add(self, text): ...
        async def find(self): ...
    """
    points = {"discovery:inventory": "test_inventory:Inventory"}
    write_distribution(tmp_path / "site", "test_inventory", source, points)
    upstream = '[upstreams.stock]\naddrs = ["x"]\ndiscovery = "inventory"\n'
    text = CONF.replace("[locations.some]", f'{upstream}[locations.some]\nupstream = "stock"')
    code, out, _ = invoke("plugins", "-c", conf(tmp_path, text), **python_path(tmp_path / "site"))
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    row = ["test-inventory", "0.1", "discovery", "inventory", "yes", "stock", "(some)"]
    assert row in rows
    code, out, _ = invoke("plugins", "-c", conf(tmp_path, text))
    assert code == 1
    assert "\ndiscovery inventory: " in out


def test_a_broken_configuration_is_told_as_by_the_check(tmp_path: Path) -> None:
    path = conf(tmp_path, CONF + "adr = 1\n")
    assert invoke("plugins", "-c", path) == invoke("-t", "-c", path)
    assert invoke("plugins", "-c", path)[0] == 2
