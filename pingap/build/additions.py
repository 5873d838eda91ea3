"""What distributions add to the servers of a configuration.

Whole servers (``pingap_listeners``), and plugins of servers (``pingap_server_plugins``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from pingap.build.claims import claiming_tables
from pingap.config import Config, ConfigError, Problem
from pingap.config.further import with_server_plugins, with_servers
from pingap.config.problem import quoted
from pingap.config.view import ConfigView
from pingap.plugins import kinds
from pingap.plugins.kinds import Kind
from pingap.plugins.registry import MissingPluginError, PluginLoadError, Registry


def with_additions(config: Config, registry: Registry) -> Config:
    """Return a configuration with everything that the distributions it uses add to its servers.

    :raises ConfigError: with everything that is wrong with them.
    """
    used = _used(config, registry)
    return _with_plugins(_with_listeners(config, registry, used), registry, used)


def _with_listeners(config: Config, registry: Registry, used: set[str]) -> Config:
    tables: dict[str, dict[str, Any]] = {}
    owners: dict[str, str] = {}
    problems: list[Problem] = []
    for owner, name, table in _asked("pingap_listeners", config, registry, used, problems):
        if problem := _misnamed(name, owner, config):
            problems.append(problem)
        else:
            tables[name], owners[name] = dict(table), owner
    if problems:
        raise ConfigError(problems)
    return with_servers(config, tables, owners, registry.claims) if tables else config


def _with_plugins(config: Config, registry: Registry, used: set[str]) -> Config:
    plugins: dict[str, list[str]] = {}
    problems: list[Problem] = []
    for owner, name, added in _asked("pingap_server_plugins", config, registry, used, problems):
        if name not in config.servers:
            text = f"there is no server {quoted(name)} that could get plugins"
            problems.append(Problem((), text, f"distribution {owner}"))
        else:
            plugins.setdefault(name, []).extend(added)
    if problems:
        raise ConfigError(problems)
    return with_server_plugins(config, plugins) if plugins else config


def _asked(
    hook: str, config: Config, registry: Registry, used: set[str], problems: list[Problem]
) -> Iterator[tuple[str, str, Any]]:
    """Yield the distribution, the name of a server, and what it adds, for all implementations of a hook."""
    for owner, call in registry.additions(hook, ConfigView.of(config), used):
        try:
            found = list(call().items())
        except BaseException as error:  # a bug in the distribution
            text = f"{hook} failed: {type(error).__name__}: {error}"
            problems.append(Problem((), text, f"distribution {owner}"))
        else:
            yield from ((owner, name, what) for name, what in found)


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
