"""Servers that distributions add to those of the configuration (``pingap_listeners``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from pingap.build.claims import claiming_tables
from pingap.config import Config, ConfigError, Problem
from pingap.config.further import with_servers
from pingap.config.problem import quoted
from pingap.config.view import ConfigView
from pingap.plugins import kinds
from pingap.plugins.kinds import Kind
from pingap.plugins.registry import MissingPluginError, PluginLoadError, Registry


def with_listeners(config: Config, registry: Registry) -> Config:
    """Return a configuration with the servers added by the distributions that it uses.

    :raises ConfigError: with everything that is wrong with them.
    """
    tables: dict[str, dict[str, Any]] = {}
    owners: dict[str, str] = {}
    problems: list[Problem] = []
    for owner, call in registry.listeners(ConfigView.of(config), _used(config, registry)):
        try:
            for name, table in call().items():
                if problem := _misnamed(name, owner, config):
                    problems.append(problem)
                else:
                    tables[name], owners[name] = dict(table), owner
        except BaseException as error:  # a bug in the distribution
            text = f"pingap_listeners failed: {type(error).__name__}: {error}"
            problems.append(Problem((), text, f"distribution {owner}"))
    if problems:
        raise ConfigError(problems)
    return with_servers(config, tables, owners, registry.claims) if tables else config


def _misnamed(name: str, owner: str, config: Config) -> Problem | None:
    """Return the problem with the name of a server that a distribution adds, if there is one."""
    begins = owner.lower().removeprefix("pingap-") + ":"
    text = ""
    if not name.startswith(begins):
        text = f"the name of a server of {owner} must begin with {quoted(begins)}"
    elif name in config.servers:
        text = "the configuration has a server of this name"
    return Problem(("servers", name), text, f"distribution {owner}") if text else None


def _used(config: Config, registry: Registry) -> set[str]:
    """Return the distributions that a configuration uses, and load them."""
    found = set()
    owners = {kind: registry.owners(kind) for kind in kinds.KINDS}
    for kind, name in set(_names(config)):
        if name in owners[kind]:
            with suppress(MissingPluginError, PluginLoadError):  # reported when it is built
                registry.find(kind, name)
                found.add(owners[kind][name])
    return found


def _names(config: Config) -> Iterator[tuple[Kind[Any], str]]:
    """Yield the names in a configuration that a distribution may provide."""
    for plugin in config.plugins.values():
        yield kinds.CATEGORY, plugin.category
    for path, table in claiming_tables(config):
        for key in table.claimed:
            yield kinds.CLAIMS[str(path[0])], key
            if path[0] == "certificates":
                yield kinds.CERTIFICATE_SOURCE, key
    for listing in (config.locations, config.servers):
        for one in _listed(listing):
            yield kinds.INSTANCE, one
    for upstream in config.upstreams.values():
        yield kinds.BALANCER, upstream.algo.partition(":")[0]
        if upstream.discovery:
            yield kinds.DISCOVERY, upstream.discovery


def _listed(tables: Mapping[str, Any]) -> Iterator[str]:
    return (name for table in tables.values() for name in table.plugins)
