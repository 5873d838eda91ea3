"""Formats of distributions: read beside TOML, mistakes at their lines, and what can go wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import invoke
from support.plugins import python_path, write_distribution
from support.process import Process
from support.waiting import until

from pingap.build.loading import load_configuration, read_configuration
from pingap.build.registry import installed_registry
from pingap.config import Config, ConfigError

SOURCE = '''
import json, re


class JSON(ConfigFormat):
    """JSON; lines are those of the first key of a name, which is enough here."""

    def parse(self, text):
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise FormatError(f"is not valid JSON: {error.msg.lower()}", error.lineno) from None
        if data == {"bug": 1}:
            raise LookupError("a bug")
        return data

    def key_lines(self, text):
        if "no lines" in text:
            raise LookupError("no lines")
        lines, found = text.splitlines(), {}

        def visit(value, path):
            for key, inner in value.items() if isinstance(value, dict) else ():
                found[(*path, key)] = next(
                    n for n, line in enumerate(lines, 1) if f'"{key}"' in line
                )
                visit(inner, (*path, key))

        visit(json.loads(text), ())
        return found


@hookimpl
def pingap_formats():
    return {"json": JSON()}
'''
POINTS = {"format:json": "my_format"}
SERVER = '{"servers": {"web": {"addr": "127.0.0.1:0", "locations": ["all"]}}}'
LOCATION = '[locations.all]\nplugins = ["hello"]\n'
HELLO = '{{\n"plugins": {{\n"hello": {{\n"category": "mock",\n"status": 200,\n"{}": "{}"\n}}}}}}'


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    write_distribution(tmp_path / "site", "my_format", SOURCE, POINTS)
    return python_path(tmp_path / "site")


@pytest.fixture
def conf(tmp_path: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of the current one; the distribution is installed."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    write(Path("conf.d"))
    return Path("conf.d")


def write(directory: Path, key: str = "data", text: str = "one") -> None:
    (directory / "sub").mkdir(parents=True, exist_ok=True)
    (directory / "servers.json").write_text(SERVER)
    (directory / "locations.toml").write_text(LOCATION)
    new = directory / "sub" / ".new"
    new.write_text(HELLO.format(key, text))
    new.replace(directory / "sub" / "hello.json")


def load(location: object) -> Config:
    registry = installed_registry()
    return load_configuration(read_configuration([str(location)], registry), registry)


def problems(location: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(location)
    return list(map(str, caught.value.problems))


def test_hook_pingap_formats_adds_a_format(tmp_path: Path, env: dict[str, str]) -> None:
    directory = tmp_path / "conf.d"
    write(directory)
    with Process("", tmp_path / "proxy", "--autoreload", location=str(directory), env=env) as proxy:

        def hello() -> bytes:
            with proxy.connect() as client:
                return client.get("/").body

        assert hello() == b"one"
        write(directory, text="two")
        until(lambda: hello() == b"two")
        write(directory, "dat")
        proxy.wait_for_log("sub/hello.json:6: plugins.hello.dat: unknown key")
    code, _, said = invoke("-t", "-c", directory, **env)
    assert code == 2
    assert f"{directory}/sub/hello.json:6: plugins.hello.dat: unknown key" in said


def test_documents_of_several_formats_are_one_configuration(conf: Path) -> None:
    config = load(conf)
    assert list(config.servers) == ["web"]
    assert list(config.locations) == ["all"]
    assert list(config.plugins) == ["hello"]
    (conf / "again.json").write_text('{\n"locations": {\n"all": {}}}')
    assert problems(conf) == [
        "conf.d/locations.toml:1: locations.all: is defined here and in conf.d/again.json:3"
    ]


def test_a_single_file_may_have_the_format(conf: Path) -> None:
    assert list(load(conf / "sub" / "hello.json").plugins) == ["hello"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n"basic": {"name"}}', ":2: is not valid JSON: expecting ':' delimiter"),
        ("[1, 2]", ": its format returns list, expected dict"),
        ('{"bug": 1}', ": its format failed: LookupError: a bug"),
        ('{"basic": {"nam": "no lines"}}', ': basic.nam: unknown key; did you mean "name"?'),
        ('{\n"basic": null}', ":2: basic: found None (NoneType), expected a table"),
    ],
)
def test_mistakes_have_their_places(conf: Path, text: str, said: str) -> None:
    (conf / "x.json").write_text(text)
    assert problems(conf) == [f"conf.d/x.json{said}"]


def test_a_directory_without_any_file_names_the_suffixes(conf: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (problem,) = problems("empty")
    known = re.findall(r"\*\.(\w+)", problem)
    assert problem.startswith("empty: there is no *.")
    assert {"json", "toml"} <= set(known)
    assert known == sorted(known)


def test_what_is_no_format_is_an_error_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "@hookimpl\ndef pingap_formats(): return {'ini': dict}\n"
    write_distribution(tmp_path / "site", "wrong_format", source, {"format:ini": "wrong_format"})
    monkeypatch.syspath_prepend(tmp_path / "site")
    (tmp_path / "a.ini").write_text("")
    (said,) = problems(tmp_path / "a.ini")
    assert "wrong-format cannot be loaded: pingap_formats: " in said
    assert '"ini": expected an object of ConfigFormat' in said
