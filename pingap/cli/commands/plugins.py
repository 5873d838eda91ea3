"""``pingap plugins``: what is installed, and where it is used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from pingap.build.registry import installed_registry
from pingap.cli.commands.common import (
    aligned,
    conf_option,
    configuration_paths,
    json_option,
    load_configuration,
    print_json,
)
from pingap.inspection.installed import Installed, Provided, Use, installed


@click.command(short_help="List installed plugins, and where they are used.")
@conf_option
@json_option
def command(conf: tuple[str, ...], as_json: bool) -> None:
    """List the installed distributions, their versions, and what each provides.

    Everything is loaded, to see whether it can be. With a configuration, the plugins that it
    configures are shown, each with the locations that list it.

    Exits with 1 if something cannot be loaded or is missing.
    """
    registry = installed_registry()
    paths = configuration_paths(conf)
    config = load_configuration(paths, registry) if paths else None
    found = installed(registry, config)
    if as_json:
        print_json(_as_json(found))
    else:
        click.echo("\n".join(_lines(found, with_uses=config is not None)))
    sys.exit(1 if list(_failures(found)) else 0)


def _as_json(found: Installed) -> dict[str, Any]:
    shown = asdict(found)
    for distribution in shown["distributions"]:
        for provided in distribution["provides"]:
            provided["loaded"] = provided["error"] is None
    return shown


def _lines(found: Installed, *, with_uses: bool) -> Iterator[str]:
    rows = [("DISTRIBUTION", "VERSION", "PROVIDES", "LOADED", "USED AS (BY LOCATIONS)")]
    for distribution in found.distributions:
        cells = (distribution.name, distribution.version)
        for provided in distribution.provides:
            rows.append((*cells, *_cells(provided)))
            cells = ("", "")
    rows += [("(not installed)", "", *_cells(provided)) for provided in found.missing]
    rows += [("(local file)", "", use.name, "-", _use(use)) for use in found.local]
    if len(rows) == 1:
        yield "No distribution of plugins is installed: pip install pingap-basics"
        return
    yield from aligned(rows if with_uses else [row[:-1] for row in rows])
    failures = list(_failures(found))
    if failures:
        yield ""
    for provided in failures:
        yield f"{provided.kind} {provided.name}: {provided.error}"


def _cells(provided: Provided) -> tuple[str, str, str]:
    name = provided.name if provided.kind == "category" else f"{provided.kind} {provided.name}"
    uses = ", ".join(_use(use) for use in provided.uses)
    return name, "yes" if provided.loaded else "no", uses or "-"


def _use(use: Use) -> str:
    if use.locations == [use.name]:  # a key of that location
        return use.name
    return f"{use.name} ({', '.join(use.locations) or 'no location'})"


def _failures(found: Installed) -> Iterator[Provided]:
    for distribution in found.distributions:
        yield from (provided for provided in distribution.provides if not provided.loaded)
    yield from found.missing
