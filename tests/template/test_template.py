"""The template: the same files with and without cookiecutter, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cookiecutter.config import DEFAULT_CONFIG
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter
from support.command import invoke
from template.variants import EVERY

from pingap.cli.scaffold.choices import BODIES, LICENSES, distribution, values
from pingap.cli.scaffold.render import TemplateError, render_text, template_folder
from pingap.hookspecs import PHASES

TEMPLATE = Path(__file__).parents[2] / "plugin-template"


def made_by_pingap(folder: Path, name: str, *arguments: str) -> dict[str, bytes]:
    folder.mkdir()
    assert invoke("new-plugin", name, "--into", folder, *arguments)[0] == 0
    return files(folder)


def made_by_cookiecutter(folder: Path, *, check: bool = True, **asked: str) -> dict[str, bytes]:
    """Return what cookiecutter makes.

    :param check: start a process that runs the hook in front of it.
    """
    cookiecutter(
        str(TEMPLATE),
        no_input=True,
        default_config=True,
        output_dir=str(folder),
        extra_context=asked,
        accept_hooks=check,
    )
    return files(folder)


def files(folder: Path) -> dict[str, bytes]:
    every = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in every}


@pytest.fixture(autouse=True)
def replay_files_stay_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """cookiecutter keeps the last answers below the home directory."""
    monkeypatch.setitem(DEFAULT_CONFIG, "replay_dir", str(tmp_path / "replay"))


# The same files.


@pytest.mark.parametrize("name", EVERY)
def test_pingap_and_cookiecutter_make_the_same_files(tmp_path: Path, name: str) -> None:
    arguments = EVERY[name]
    asked = {"name": name}
    for place, argument in enumerate(arguments):
        if argument == "--async":
            asked["async"] = "yes"
        elif argument.startswith("--"):
            asked[argument[2:]] = arguments[place + 1]
    made = made_by_pingap(tmp_path / "pingap", name, *arguments)
    assert made == made_by_cookiecutter(tmp_path / "cookiecutter", check=False, **asked)
    assert f"{distribution(name)}/pingap_{name}/py.typed" in made


def test_defaults_are_the_same(tmp_path: Path) -> None:
    made = made_by_pingap(tmp_path / "pingap", "hello")
    assert made == made_by_cookiecutter(tmp_path / "cookiecutter")


def test_choices_are_those_of_cookiecutter() -> None:
    asked = json.loads((TEMPLATE / "cookiecutter.json").read_text())
    assert (asked["body"], asked["license"]) == ([*BODIES], [*LICENSES])
    assert all(phase in asked["__prompts__"]["phases"] for phase in PHASES)
    public = {key: asked[key] for key in asked if not key.startswith("_")}
    first = {key: one[0] if isinstance(one, list) else one for key, one in public.items()}
    derived = {key for key in values(first) if key.startswith("__")}
    assert derived == {key for key in asked if key.startswith("__")} - {"__prompts__", "__phases"}


def test_every_variant_is_formatted_and_clean(tmp_path: Path) -> None:
    for name, arguments in EVERY.items():
        assert invoke("new-plugin", name, "--into", tmp_path, *arguments)[0] == 0
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", str(tmp_path)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("phase", PHASES)
def test_exactly_the_chosen_phases_are_implemented(tmp_path: Path, phase: str) -> None:
    body = "rewrites" if phase.endswith("_body") else "none"
    made = made_by_pingap(tmp_path / "p", "hello", "--phases", phase, "--body", body)
    code = made["pingap-hello/pingap_hello/plugin.py"].decode()
    assert [one for one in PHASES if f"def {one}(" in code] == [phase]
    assert code.count("@hookimpl") == 1


# What is refused.

REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "capitals": (
        {"name": "Rate"},
        'name: "Rate", expected lower-case letters, digits and single _ between them: rate_limit',
    ),
    "two underscores": (
        {"name": "rate__limit"},
        'name: "rate__limit", expected lower-case letters, digits and single _ between them: '
        "rate_limit",
    ),
    "too long": (
        {"name": "a" * 31},
        f'name: "{"a" * 31}" has 31 characters, expected at most 30',
    ),
    "a category of pingap": ({"name": "jwt"}, 'name: "jwt" is a category of pingap-auth'),
    "the category of files": ({"name": "python"}, 'name: "python" is a category of pingap'),
    "a distribution": (
        {"name": "basics"},
        'name: "basics": a distribution pingap-basics exists',
    ),
    "a public name": (
        {"name": "body_filter"},
        'name: "body_filter": its class would be BodyFilter, a name that plugins import',
    ),
    "quotes": (
        {"description": 'Says "hello"'},
        'description: "Says \\"hello\\"", expected one line without " \\ { }',
    ),
    "two lines": (
        {"description": "Says\nhello"},
        'description: "Says\\nhello", expected one line without " \\ { }',
    ),
    "no words": ({"description": " . "}, "description: nothing, expected some words"),
    "a slip": (
        {"phases": "request, respons"},
        'phases: "respons" is not a phase; did you mean "response"?',
    ),
    "no phase": ({"phases": " , "}, f"phases: none, expected some of {', '.join(PHASES)}"),
    "a filter without need": (
        {"phases": "response_body"},
        'body: "none", but response_body needs "reads" or "rewrites"',
    ),
    "a need without filter": (
        {"body": "reads"},
        'body: "reads" needs one of the phases request_body, upstream_response_body, response_body',
    ),
    "nobody is given the whole body": (
        {"phases": "logging", "body": "whole"},
        'body: "whole" needs the phase request, which is given the body',
    ),
    "nothing to await": (
        {"phases": "request_body", "body": "reads", "async": "yes"},
        "async: nothing is awaited in request_body; filters are sync",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_pingap_refuses(tmp_path: Path, case: str) -> None:
    asked, told = REFUSED[case]
    options = [
        f"--{key}" if key == "async" else f"--{key}={value}"
        for key, value in asked.items()
        if key != "name"
    ]
    name = asked.get("name", "hello")
    code, out, err = invoke("new-plugin", name, "--into", tmp_path, *options)
    assert (code, out, err) == (2, "", f"{told}\n")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("case", ["capitals", "a category of pingap", "quotes", "a slip"])
def test_cookiecutter_refuses_the_same(
    tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    asked, told = REFUSED[case]
    with pytest.raises(FailedHookException):
        made_by_cookiecutter(tmp_path / "made", **asked)
    assert told in capfd.readouterr().err
    assert files(tmp_path / "made") == {}


def test_several_mistakes_are_told_at_once(tmp_path: Path) -> None:
    options = ("--phases", "respond", "--body", "reads", "--into", tmp_path)
    code, _, err = invoke("new-plugin", "mock", *options)
    assert code == 2
    assert len(err.splitlines()) == 3


@pytest.mark.parametrize("name", ["rate_limit", "rate-limit", "pingap-rate-limit"])
def test_the_distribution_may_be_named_too(tmp_path: Path, name: str) -> None:
    made = made_by_pingap(tmp_path / "p", name)
    assert 'rate_limit = "pingap_rate_limit.plugin:RateLimit"' in (
        made["pingap-rate-limit/pyproject.toml"].decode()
    )


def test_what_exists_is_left_alone(tmp_path: Path) -> None:
    there = tmp_path / "pingap-hello" / "README.md"
    there.parent.mkdir()
    there.write_text("mine")
    code, _, err = invoke("new-plugin", "hello", "--into", tmp_path)
    assert code == 2
    assert f"{there.parent} exists already; nothing was written" in err
    assert files(tmp_path) == {"pingap-hello/README.md": b"mine"}


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    code, _, err = invoke("new-plugin", "hello", "--into", tmp_path / "nowhere")
    assert code == 2
    assert "does not exist" in err


def test_next_steps_are_told(tmp_path: Path) -> None:
    _, out, _ = invoke("new-plugin", "hello", "--into", tmp_path)
    assert f"  cd {tmp_path}/pingap-hello\n" in out
    assert out.endswith("  .venv/bin/pytest\n")


# The renderer.


def test_a_working_copy_uses_the_template_of_the_repository() -> None:
    assert template_folder() == TEMPLATE


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("{{ cookiecutter.a }}-{{cookiecutter.b}}\n", "A-\n"),
        ("1\n{% if cookiecutter.a %}\n2\n{% else %}\n3\n{% endif %}\n4\n", "1\n2\n4\n"),
        ("1\n  {% if cookiecutter.b %}\n2\n{% else %}\n3\n{% endif %}\n4", "1\n3\n4"),
        ("{% if cookiecutter.b or cookiecutter.a %}\n2\n{% endif %}\n", "2\n"),
        (
            "{% if cookiecutter.b %}\n{% if cookiecutter.a %}\n1\n{% else %}\n2\n{% endif %}\n"
            "{% else %}\n3\n{% endif %}\n",
            "3\n",
        ),
    ],
)
def test_rendering(text: str, made: str) -> None:
    assert render_text(text, {"a": "A", "b": ""}, "file") == made


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1\n{{ cookiecutter.a|upper }}\n", "file:2: only Jinja understands '{{ cookiecutter.a|"),
        ("{% for a in b %}\n", "file:1: only Jinja understands '{% for a"),
        ("{% if cookiecutter.a and cookiecutter.b %}\n", "file:1: only Jinja understands"),
        ("{% endif %}\n", "file:1: only Jinja understands"),
        ("{# a note #}\n", "file:1: only Jinja understands"),
        ("{{ cookiecutter.c }}\n", "file:1: there is no value 'c'"),
        ("{% if cookiecutter.c %}\n{% endif %}\n", "file:1: there is no value 'c'"),
        ("{% if cookiecutter.a %}\n", "file: an if without endif"),
    ],
)
def test_what_only_jinja_understands_is_an_error(text: str, told: str) -> None:
    with pytest.raises(TemplateError) as raised:
        render_text(text, {"a": "A", "b": ""}, "file")
    assert str(raised.value).startswith(told)
