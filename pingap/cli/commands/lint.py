"""``pingap lint``: settings that are valid but probably wrong."""

from __future__ import annotations

import sys
from typing import Any

import click

from pingap.build.registry import installed_registry
from pingap.cli.commands.common import built, conf_option, json_option, print_json
from pingap.config.problem import dotted
from pingap.inspection.checks import findings
from pingap.inspection.finding import Finding


@click.command(short_help="Find settings that are valid but probably wrong.")
@conf_option
@json_option
def command(conf: tuple[str, ...], as_json: bool) -> None:
    """Find settings that are valid but probably wrong, each with its place and a fix.

    Exits with 0 without findings, 1 with findings, 2 if the configuration cannot be used.
    """
    with built(conf, installed_registry()) as runtime:
        found = findings(runtime)
    if as_json:
        print_json({"findings": [_as_json(one) for one in found]})
    else:
        for one in found:
            click.echo(f"{one.problem} [{one.id}]\n    fix: {one.fix}")
        count = len(found)
        click.echo(f"{count or 'No'} finding{'' if count == 1 else 's'}.")
    sys.exit(1 if found else 0)


def _as_json(one: Finding) -> dict[str, Any]:
    problem = one.problem
    return {
        "id": one.id,
        "file": problem.file,
        "line": problem.line,
        "key": dotted(problem.path),
        "message": problem.message,
        "fix": one.fix,
    }
