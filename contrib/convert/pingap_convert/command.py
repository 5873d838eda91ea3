"""The command ``pingap convert``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from pingap import hookimpl
from pingap_convert.caddy.convert import convert_caddyfile
from pingap_convert.formats import WRITERS, read_own
from pingap_convert.nginx.convert import convert_nginx
from pingap_convert.result import ConversionError, Result

_FORMATS: Final = ("toml", "hcl", "kdl", "nginx", "caddy")
_SUFFIXES: Final = {".toml": "toml", ".hcl": "hcl", ".kdl": "kdl", ".conf": "nginx"}


@click.command(
    "convert", short_help="Convert a configuration: TOML, HCL, KDL, nginx.conf, Caddyfile."
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--from", "source", type=click.Choice(_FORMATS), help="Format of the input. [by its name]"
)
@click.option("--to", "target", type=click.Choice(list(WRITERS)), default="toml", show_default=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="File to create. [standard output]"
)
def convert(paths: Sequence[Path], source: str | None, target: str, output: Path | None) -> None:
    """Convert files to one configuration of pingap.

    What has no equivalent is listed with its file and line, and the exit code is 1; the rest can be served. Access that is
    restricted in a way that cannot be converted is closed: its requests get 403.
    """
    result = Result(output=output)
    try:
        for path in paths:
            _read(path, source or _format_of(path), result)
        text = WRITERS[target](result.ordered())
        _write(text, output)
        for path, content in result.files.items():
            _create(path, content, 0o600)
    except (ConversionError, ValueError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    for place, reason in sorted(result.left_out):
        click.echo(f"{place.file}:{place.line}: {reason}", err=True)
    if result.left_out:
        count = len(result.left_out)
        click.echo(f"{count} {'part was' if count == 1 else 'parts were'} left out.", err=True)
        sys.exit(1)


def _format_of(path: Path) -> str:
    if path.name.startswith("Caddyfile") or path.suffix == ".caddyfile":
        return "caddy"
    if (found := _SUFFIXES.get(path.suffix)) is None:
        raise ConversionError(f"{path}: what is its format? Give --from {'|'.join(_FORMATS)}")
    return found


def _read(path: Path, form: str, result: Result) -> None:
    if form == "nginx":
        convert_nginx(path, result)
    elif form == "caddy":
        convert_caddyfile(path, result)
    else:
        read_own(path, form, result)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    _create(output, text, 0o666)


def _create(path: Path, text: str, mode: int) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConversionError(f"{path}: cannot be created: {error.strerror}") from None


@hookimpl
def pingap_commands() -> Sequence[click.Command]:
    """Return the command."""
    return [convert]
