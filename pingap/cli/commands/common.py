"""Shared by the commands: finding the configuration, printing its errors, printing tables."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from pingap.build import loading as configuration
from pingap.cli.commands import expanded
from pingap.config import Config, ConfigError
from pingap.plugins.registry import Registry

if TYPE_CHECKING:
    from pingap.build.runtime import Runtime

conf_option = click.option(
    "-c",
    "--conf",
    metavar="PATH",
    multiple=True,
    help="TOML file, or directory of TOML files; may be repeated. [$PINGAP_CONF]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def configuration_paths(conf: Sequence[str]) -> tuple[str, ...]:
    """Return the places of the configuration: from the command, else from ``pingap -c``, else $PINGAP_CONF."""
    before: tuple[str, ...] = click.get_current_context().obj or ()
    return expanded(conf or before or (os.environ.get("PINGAP_CONF", ""),))


def load_configuration(conf: Sequence[str], registry: Registry) -> Config:
    """Load a configuration; print its errors and exit if there are any."""
    with mistakes_end_the_command():
        return configuration.load_configuration(
            configuration.read_configuration(conf, registry), registry
        )


@contextmanager
def built(conf: Sequence[str], registry: Registry) -> Iterator[Runtime]:
    """Build everything that would be served; print the errors of the configuration and exit if there are any."""
    from pingap.build.graph import build
    from pingap.observability.log_files import LogFiles

    paths = configuration_paths(conf)
    if not paths:
        raise click.UsageError("where is the configuration? Give -c PATH")
    with mistakes_end_the_command():
        snapshot = configuration.read_configuration(paths, registry)
        config = configuration.load_configuration(snapshot, registry)
        runtime = build(config, registry, log_files=LogFiles(opens=False))
    yield runtime


@contextmanager
def mistakes_end_the_command() -> Iterator[None]:
    """Print the errors of a configuration as ``-t`` does, and exit with 2."""
    try:
        yield
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(2)


def print_json(value: Any) -> None:
    """Print JSON for programs, indented so that people can read it as well."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def aligned(rows: Sequence[Sequence[str]], indent: str = "") -> list[str]:
    """Return lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return [(indent + line).rstrip() for line in lines]
