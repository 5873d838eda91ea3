"""Servers, and plugins of servers, that distributions add to a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def with_server_plugins(config: Config, plugins: Mapping[str, Sequence[str]]) -> Config:
    """Return a configuration with additional plugins of servers, before those that they list.

    :param plugins: name of a server -> names of plugins; those that it lists itself stay where they are.
    """
    servers = dict(config.servers)
    for name, added in plugins.items():
        listed = servers[name].plugins
        first = [one for one in dict.fromkeys(added) if one not in listed]
        servers[name] = servers[name].model_copy(update={"plugins": [*first, *listed]})
    return replace(config, servers=servers)
