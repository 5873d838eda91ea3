"""What the page about storages and formats shows, each in the way in which it is used."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from docs.blocks import shown_file
from support.plugins import write_distribution

from pingap import StorageConflict, StorageError
from pingap.build.loading import load_configuration, read_configuration
from pingap.build.registry import installed_registry
from pingap.build.storages import storage_at
from pingap.config import Config, ConfigError
from pingap.testing import Proxy

PAGE = "storages.md"
POINTS = {"storage:sqlite": "pingap_sqlite", "format:json": "pingap_json"}
SERVER = '{\n  "servers": {\n    "web": {"addr": "127.0.0.1:0", "loc": []}\n  }\n}'


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install what the page shows, with the entry points that it shows."""
    shown = shown_file(PAGE, "pyproject.toml")
    assert all(f'"{point}" = "{module}"' in shown for point, module in POINTS.items())
    for point, module in POINTS.items():
        source = shown_file(PAGE, f"{module}.py")
        write_distribution(tmp_path / "site", module, source, {point: module})
        path = tmp_path / "site" / f"{module}.py"
        path.write_text(source)
    monkeypatch.syspath_prepend(tmp_path / "site")


def load(location: object) -> Config:
    registry = installed_registry()
    return load_configuration(read_configuration([str(location)], registry), registry)


@pytest.mark.usefixtures("installed")
def test_the_database_is_a_storage(tmp_path: Path) -> None:
    async def main() -> None:
        storage = storage_at(f"sqlite://{tmp_path}/p.db", installed_registry())
        empty = await storage.read()
        with anyio.fail_after(20):
            changes = storage.watch()
            await anext(changes)
            documents = {"a.toml": '[basic]\nname = "x"\n', "b.toml": ""}
            version = await storage.write(documents, expected=empty.version)
            await anext(changes)
            assert dict((await storage.read()).files) == documents
            with pytest.raises(StorageConflict):
                await storage.write({"a.toml": None}, expected=empty.version)
            assert await storage.write({"b.toml": None}, expected=version) != version
            await anext(changes)
        assert [name for name, _ in (await storage.read()).files] == ["a.toml"]
        with closing(sqlite3.connect(tmp_path / "p.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageError, match="locked"):
                await storage.write({}, expected=version)

    anyio.run(main)
    assert load(f"sqlite://{tmp_path}/p.db").basic.name == "x"
    with pytest.raises(ConfigError, match="sqlite://: expected sqlite:///PATH"):
        load("sqlite://")


@pytest.mark.usefixtures("installed")
def test_json_is_a_format_with_lines(tmp_path: Path) -> None:
    path = tmp_path / "web.json"
    path.write_text(SERVER)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value.problems[0]).startswith(f"{path}:3: servers.web.loc: unknown key")
    path.write_text(SERVER.replace("loc", "locations"))
    assert list(load(path).servers) == ["web"]
    for text, said in (("{\n1}", ":2: is not valid JSON: "), ("[]", ":1: is not a configuration")):
        path.write_text(text)
        with pytest.raises(ConfigError, match=said):
            load(path)


def test_lines_of_arrays_are_found() -> None:
    module: dict[str, object] = {}
    exec(shown_file(PAGE, "pingap_json.py"), module)
    text = '{\n"a": [\n{"b": "}"},\n{"c\\"": [1, {\n"d": "e: ["}]}]}'
    assert module["JSONFormat"]().key_lines(text) == {  # type: ignore[operator]
        ("a",): 2,
        ("a", 0, "b"): 3,
        ("a", 1, 'c"'): 4,
        ("a", 1, 'c"', 1, "d"): 5,
    }


def test_the_notice_is_saved(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(directory)
    toml = (
        '[plugins.notice]\ncategory = "python"\npath = "plugins/notice.py"\ntext = "hello"\n'
        '[locations.all]\nplugins = ["notice"]\n'
        '[servers.web]\naddr = "127.0.0.1:0"\nlocations = ["all"]\n'
    )
    with Proxy(toml) as proxy:
        assert proxy.get("/").text == "hello"
        assert proxy.request("PUT", "/?text=bye").text == "saved"
        assert 'text = "bye"' in proxy.storage.documents["notice.toml"]
