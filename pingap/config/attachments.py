"""Attaches locations to the servers that they name: the key ``servers`` of a location."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pingap.config.merge import Table
from pingap.config.problem import did_you_mean, quoted
from pingap.config.source import Report

ALL: Final = "*"
"""An entry that stands for all servers."""


def attach_locations(sections: dict[str, dict[str, Table]], report: Report) -> None:
    """Add each location to ``locations`` of the servers that it names; tables are replaced, not changed."""
    servers = sections["servers"]
    for location, table in sections["locations"].items():
        named = table.get("servers")
        if not isinstance(named, list):
            continue  # reported by the model
        for index, name in enumerate(named):
            if not isinstance(name, str):
                continue
            if name != ALL and name not in servers:
                message = f"no server is named {quoted(name)}{did_you_mean(name, servers)}"
                report.error(("locations", location, "servers", index), message)
                continue
            _attach(location, list(servers) if name == ALL else [name], servers)


def _attach(location: str, names: Iterable[str], servers: dict[str, Table]) -> None:
    for name in names:
        listed: Any = servers[name].get("locations", [])
        if isinstance(listed, list) and location not in listed:
            servers[name] = {**servers[name], "locations": [*listed, location]}
