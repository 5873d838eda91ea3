"""The command: formats, what is left out, exit codes; and inputs as people have them, which are then checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.certificates import issue
from support.command import invoke

INPUTS = Path(__file__).parent / "inputs"

TOML = """
[basic]
threads = 2

[servers.web]
addr = "127.0.0.1:8080"
locations = ["all"]

[locations.all]
plugins = ["hello"]

[plugins.hello]
category = "mock"
data = "a ${b} \\"c\\"\\n"
headers = ["X-A: b"]
"""


@pytest.mark.parametrize("way", [["hcl", "toml"], ["kdl", "toml"], ["hcl", "kdl", "toml"]])
def test_there_and_back(tmp_path: Path, way: list[str]) -> None:
    path = tmp_path / "0.toml"
    path.write_text(TOML)
    for number, form in enumerate(way, 1):
        new = tmp_path / f"{number}.{form}"
        assert invoke("convert", path, "--to", form, "-o", new) == (0, "", "")
        assert invoke("-t", "-c", new)[0] == 0
        path = new
    assert tomli.loads(path.read_text()) == tomli.loads(TOML)


_NAMES = st.text("abc-_", min_size=1, max_size=4)
_VALUES = st.text(st.characters(codec="utf-8"), max_size=8) | st.integers(0, 99) | st.booleans()
_KEYS = st.sampled_from(["a", "b_c", "d-e", "é"])
_TABLES = st.dictionaries(_KEYS, _VALUES | st.lists(_VALUES, max_size=3), max_size=3)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(_NAMES, _TABLES, min_size=1, max_size=3))
def test_every_table_comes_back(
    tmp_path_factory: pytest.TempPathFactory, plugins: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("convert")
    path = folder / "0.toml"
    from pingap_convert.formats import write_toml

    path.write_text(write_toml({"plugins": plugins}))
    for number, form in enumerate(("hcl", "kdl", "toml"), 1):
        new = folder / f"{number}.{form}"
        assert invoke("convert", path, "--to", form, "-o", new) == (0, "", "")
        path = new
    assert tomli.loads(path.read_text()) == {"plugins": plugins}


def test_several_files_become_one(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[plugins.a]\nx = 1\n")
    (tmp_path / "b.hcl").write_text('plugin "b" { x = 1 }\n')
    code, out, _ = invoke("convert", tmp_path / "a.toml", tmp_path / "b.hcl")
    assert code == 0
    assert json.dumps(tomli.loads(out)) == '{"plugins": {"a": {"x": 1}, "b": {"x": 1}}}'


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.toml", "a = [", "a.toml: is not valid TOML: "),
        ("a.hcl", "\nx", "a.hcl:2: is not valid HCL: "),
        ("a.kdl", "\n}", "a.kdl:1: is not valid KDL: "),
        ("a.conf", "http {\n server {\n listen 80\n }\n}\n", 'a.conf:3: directive "listen" is not'),
        ("Caddyfile", ":80 {\n", "Caddyfile:1: a block has no end"),
        ("a.txt", "", "a.txt: what is its format? Give --from toml|hcl|kdl|nginx|caddy"),
        ("a.toml", "[plugins.a]\nd = 2020-01-01\n", "plugins.a.d: HCL has no form for 2020-01-01"),
    ],
)
def test_mistakes(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    code, out, error = invoke("convert", tmp_path / name, "--to", "hcl")
    assert (code, out) == (2, "")
    assert said in error


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[basic]\n")
    code, _, error = invoke("convert", tmp_path / "a.toml", "-o", tmp_path / "a.toml")
    assert code == 2
    assert error == f"{tmp_path}/a.toml: cannot be created: File exists\n"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the inputs name, below ``@ROOT@``."""
    root = tmp_path_factory.mktemp("machine")
    for name in ("www/index.html", "app/index.html", "static/a.css", "www/404.html"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(name)
    issue("shop.example.test", "*.example.test").write(root, "shop")
    hashed = "$5$saltsalt$bA8FfBAVfgsVJ1yVxlHx/gxmQUBe.AfKjn1WjJJvl8C"
    (root / "htpasswd").write_text(f"me:{hashed}\n")
    (root / "weak").write_text("me:$apr1$x$y\n")
    return root


@pytest.mark.parametrize("path", sorted(INPUTS.glob("*")), ids=lambda path: path.stem)
def test_inputs_as_people_have_them(path: Path, machine: Path, tmp_path: Path) -> None:
    text = path.read_text().replace("@ROOT@", str(machine))
    expected = [line[11:] for line in text.splitlines() if line.startswith("# left out")]
    name = "Caddyfile" if path.suffix == ".caddyfile" else path.name
    (tmp_path / name).write_text(text)
    if path.suffix == ".conf":
        (tmp_path / "mime.types").write_text("types { text/html html; }\n")
        (tmp_path / "conf.d").mkdir()
        (tmp_path / "conf.d" / "extra.conf").write_text("client_max_body_size 20m;\n")
    output = tmp_path / "pingap.toml"
    code, out, error = invoke("convert", tmp_path / name, "-o", output)
    said = [line.removeprefix(f"{tmp_path}/{name}:") for line in error.splitlines()]
    assert said[:-1] == expected
    assert (code, out) == (1 if expected else 0, "")
    assert invoke("-t", "-c", output) == (0, "The configuration is valid.\n", "")
