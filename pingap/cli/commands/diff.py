"""``pingap diff OLD NEW``: which requests two configurations handle differently."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from pingap.build.graph import build
from pingap.build.loading import load_configuration, read_configuration
from pingap.build.registry import installed_registry
from pingap.build.runtime import Runtime
from pingap.cli.commands import expanded
from pingap.cli.commands.common import (
    aligned,
    conf_option,
    configuration_paths,
    json_option,
    mistakes_end_the_command,
    print_json,
)
from pingap.cli.commands.history import Versions
from pingap.config import Snapshot
from pingap.config.storage_location import scheme_of
from pingap.inspection.comparison import ChangedRequest, compare
from pingap.inspection.samples import Sample, derived_samples, read_samples
from pingap.observability.log_files import LogFiles
from pingap.plugins.registry import Registry

_MOST_SHOWN = 50
"""Requests that are shown as text."""


@click.command()
@click.argument("old")
@click.argument("new")
@click.option("--urls", type=click.Path(exists=True, dir_okay=False), help="File with URLs.")
@conf_option
@json_option
def command(old: str, new: str, urls: str | None, conf: tuple[str, ...], as_json: bool) -> None:
    """Show which requests would be handled differently by another configuration.

    OLD and NEW are files or directories, or versions of "pingap history" with -c. Without --urls, the hosts and paths of
    the locations are asked for. Nothing is sent.

    Exit codes: 0 none, 1 some, 2 an error.
    """
    registry = installed_registry()
    before, after = _built(old, conf, registry), _built(new, conf, registry)
    without: list[str] = []
    if urls is None:
        samples, without = derived_samples(before, after)
    else:
        samples = _read(urls)
    changed = list(compare(before, after, samples))
    if as_json:
        print_json(_as_json(changed, samples, without))
    else:
        click.echo("\n".join(_lines(changed, samples, without)))
    sys.exit(1 if changed else 0)


def _built(what: str, conf: tuple[str, ...], registry: Registry) -> Runtime:
    with mistakes_end_the_command():
        config = load_configuration(_texts(what, conf, registry), registry)
        return build(config, registry, log_files=LogFiles(opens=False))


def _texts(what: str, conf: tuple[str, ...], registry: Registry) -> Snapshot:
    (path,) = expanded([what])
    is_file = Path(path.partition("?")[0]).exists()
    if scheme_of(path) or is_file or not configuration_paths(conf):
        return read_configuration([path], registry)
    return Versions(conf).texts(what)


def _read(urls: str) -> list[Sample]:
    try:
        return read_samples(Path(urls).read_text())
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{urls}: {error}") from None


def _as_json(
    changed: Sequence[ChangedRequest], samples: Sequence[Sample], without: Sequence[str]
) -> dict[str, Any]:
    requests = [
        {**asdict(one.sample), "differences": [asdict(found) for found in one.differences]}
        for one in changed
    ]
    return {"asked": len(samples), "changed": requests, "locations_not_asked": without}


def _lines(
    changed: Sequence[ChangedRequest], samples: Sequence[Sample], without: Sequence[str]
) -> Iterator[str]:
    for one in changed[:_MOST_SHOWN]:
        server = f"  (server {one.sample.server})" if one.sample.server else ""
        yield f"{one.sample}{server}"
        yield from aligned(
            [(f"{found.what}:", _arrow(found.before, found.after)) for found in one.differences],
            "  ",
        )
        yield ""
    if len(changed) > _MOST_SHOWN:
        yield f"... and {len(changed) - _MOST_SHOWN} more requests; --json shows all"
    yield f"{len(changed)} of {len(samples)} requests would be handled differently."
    if without:
        yield f"Not asked for, as their hosts or paths are regular expressions (use --urls): {', '.join(without)}"


def _arrow(before: str, after: str) -> str:
    if before == after:  # keys whose values are not shown
        return f"changed: {before}"
    return f"{before} -> {after}"
