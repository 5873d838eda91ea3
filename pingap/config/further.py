"""Servers that distributions add to those of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pingap.config.decode import Claims, Items, decode_servers
from pingap.config.load import Config
from pingap.config.merge import Table
from pingap.config.problem import ConfigError, in_file_order
from pingap.config.source import Document, Report
from pingap.config.validate import validate


def with_servers(
    config: Config, tables: Mapping[str, Table], owners: Mapping[str, str], claims: Claims
) -> Config:
    """Return a configuration with additional servers, which are checked like the others.

    :param tables: name of a server -> its table.
    :param owners: name of a server -> the distribution that adds it, which problems name.
    :param claims: see ``load``.
    :raises ConfigError: with everything that is wrong with them.
    """
    report = Report(config.source)
    for name in tables:
        document = Document(f"distribution {owners[name]}", "", {})
        config.source.own(("servers", name), document)
    servers = decode_servers(tables, claims, report)
    items = Items(
        {**config.servers, **servers},
        config.locations,
        config.upstreams,
        config.plugins,
        config.certificates,
        config.storages,
    )
    sections = {name: table for name, table in config.tables.items() if name != "basic"}
    sections["servers"] = {**sections["servers"], **tables}
    validate(config.basic, items, sections, claims, report)
    if report.problems:
        raise ConfigError(report.problems)
    new = [one for one in report.warnings if len(one.path) > 1 and one.path[1] in tables]
    return replace(
        config,
        servers=items.servers,
        warnings=in_file_order([*config.warnings, *new]),
        tables={"basic": config.tables["basic"], **sections},
        added=dict(owners),
    )
