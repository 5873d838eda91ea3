"""``pingap new-plugin NAME``: creates a plugin distribution."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pingap.cli.scaffold.choices import BODIES, LICENSES, distribution, problems, values
from pingap.cli.scaffold.render import render, template_folder
from pingap.hookspecs import PHASES


@click.command(short_help="Create a plugin distribution.")
@click.argument("name")
@click.option(
    "--phases",
    metavar="PHASE,..",
    default="request",
    show_default=True,
    help=f"Phases it implements: {', '.join(PHASES)}.",
)
@click.option(
    "--body",
    type=click.Choice(BODIES),
    default="none",
    show_default=True,
    help="Its use of bodies: read them, rewrite them, or need the whole request body.",
)
@click.option("--async", "asynchronous", is_flag=True, help="Its phases await something.")
@click.option(
    "--description",
    metavar="TEXT",
    default="Answers with a configured text",
    show_default=True,
    help="What it does, in one line.",
)
@click.option("--author", metavar="TEXT", help="Copyright holder.")
@click.option("--license", type=click.Choice(LICENSES), default=LICENSES[0], show_default=True)
@click.option(
    "--into",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    help="Where to create its directory. [here]",
)
def command(
    name: str,
    phases: str,
    body: str,
    asynchronous: bool,
    description: str,
    author: str | None,
    license: str,  # noqa: A002 - click passes the name of the option
    into: Path,
) -> None:
    """Create a plugin distribution in the directory pingap-NAME.

    It has settings, working examples of the phases, tests, a README and CI: ready to be changed, and
    to be published. NAME is the category by which TOML will select the plugin.
    """
    name = name.removeprefix("pingap-").replace("-", "_")
    choices: dict[str, str | bool] = {
        "name": name,
        "description": description,
        "author": f"The authors of {distribution(name)}" if author is None else author,
        "license": license,
        "phases": phases,
        "async": asynchronous,
        "body": body,
    }
    if found := problems(choices):
        click.echo("\n".join(found), err=True)
        sys.exit(2)
    folder = into / distribution(name)
    _write(folder, render(template_folder(), values(choices)))
    click.echo(_NEXT.format(folder=folder, name=name))


_NEXT = """\
{folder} is a plugin of the category "{name}". Its README explains how to test and publish it:

  cd {folder}
  python -m venv .venv
  .venv/bin/python -m pip install --upgrade pip
  .venv/bin/python -m pip install --editable . --group dev
  .venv/bin/pytest"""


def _write(folder: Path, files: dict[str, str]) -> None:
    """Write a new directory; what exists stays as it is."""
    try:
        folder.mkdir()
    except FileExistsError:
        raise click.UsageError(f"{folder} exists already; nothing was written") from None
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")
