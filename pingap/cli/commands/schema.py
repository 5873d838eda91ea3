"""``pingap schema``: the JSON Schema of the configuration."""

from __future__ import annotations

import json

import click

from pingap.build.registry import installed_registry
from pingap.inspection.json_schema import json_schema


@click.command(short_help="Print the JSON Schema of the configuration, for editors.")
@click.option("--pretty", is_flag=True, help="Indent it.")
def command(*, pretty: bool) -> None:
    r"""Print the JSON Schema of the configuration, with the settings of all installed plugins.

    An editor completes and checks TOML with it:

    \b
        pingap schema > pingap.schema.json

    and this as the first line of the TOML file:

    \b
        #:schema ./pingap.schema.json
    """
    schema, failures = json_schema(installed_registry())
    for failure in failures:
        click.echo(f"warning: {failure}", err=True)
    if pretty:
        click.echo(json.dumps(schema, indent=2, ensure_ascii=False))
    else:
        click.echo(json.dumps(schema, separators=(",", ":"), ensure_ascii=False))
