"""Commands that distributions add to the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command import run
from support.plugins import python_path, write_distribution

SOURCE = """
import click

@click.command("purge", short_help="Purge.")
@click.argument("what")
@click.pass_context
def purge(ctx, what):
    print(f"purged {what} of {' '.join(ctx.obj)}")
    ctx.exit(3)

@hookimpl
def pingap_commands(): return [purge]
"""


def test_hook_pingap_commands_are_run(tmp_path: Path) -> None:
    write_distribution(tmp_path / "site", "purging", SOURCE, {"command:purge": "purging"})
    env = python_path(tmp_path / "site")
    assert run("-c", "x.toml", "purge", "all", **env) == (3, "purged all of x.toml\n", "")


def test_help_lists_commands_without_importing_them(tmp_path: Path) -> None:
    points = {"command:purge": "purging"}
    write_distribution(tmp_path / "site", "purging", "raise SystemExit(9)", points)
    env = python_path(tmp_path / "site")
    code, out, err = run("--help", **env)
    assert (code, err) == (0, "")
    assert ["purge", "Of", "the", "distribution", "purging."] in [
        x.split() for x in out.split("\n")
    ]
    code, out, err = run("purg", **env)
    assert code == 2
    assert ", purge\n" in err


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise SystemExit(0)", "purging cannot be loaded: 0"),
        (
            SOURCE.replace('"purge",', '"other",'),
            "the entry point 'command:purge' of purging does not refer",
        ),
        (SOURCE.replace("[purge]", "[1]"), "purging cannot be loaded: 1 is not a click command"),
    ],
)
def test_a_command_that_cannot_be_loaded_is_told(tmp_path: Path, source: str, told: str) -> None:
    write_distribution(tmp_path / "site", "purging", source, {"command:purge": "purging"})
    code, out, err = run("purge", "all", **python_path(tmp_path / "site"))
    assert (code, out) == (1, "")
    assert err.startswith(f"Error: the command purge: {told}")
    assert "Traceback" not in err


def test_a_command_of_pingap_cannot_be_replaced(tmp_path: Path) -> None:
    source = SOURCE.replace('"purge",', '"schema",')
    write_distribution(tmp_path / "site", "purging", source, {"command:schema": "purging"})
    code, out, _ = run("schema", **python_path(tmp_path / "site"))
    assert code == 0
    assert out.startswith('{"$schema"')
