"""The installed distributions: what they provide, whether it loads, and where it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint
from typing import Any, Final

from pingap.build.claims import claiming_tables
from pingap.config import Config
from pingap.config.problem import dotted
from pingap.inspection.places import Place, place_of_key
from pingap.plugins import kinds
from pingap.plugins.local import CATEGORY
from pingap.plugins.registry import MissingPluginError, PluginLoadError, Registry


@dataclass(frozen=True, slots=True)
class Use:
    """A configured plugin, a table that has a claimed key, or an upstream with a discovery.

    :param name: the key below ``[plugins]``; for a claimed key, the location, or the table as
        ``servers.web``; or the upstream.
    :param locations: the locations that list it, or use the upstream.
    """

    name: str
    locations: list[str]
    place: Place


@dataclass(slots=True)
class Provided:
    """A category, a claimed key, a kind of discovery or a name of ``algo``.

    :param class_name: module and class, if it loads.
    :param error: why it does not load.
    """

    kind: str
    name: str
    class_name: str | None = None
    error: str | None = None
    uses: list[Use] = field(default_factory=list)

    @property
    def loaded(self) -> bool:
        """Whether it can be used."""
        return self.error is None


@dataclass(slots=True)
class Distribution:
    """An installed distribution."""

    name: str
    version: str
    provides: list[Provided] = field(default_factory=list)


@dataclass(slots=True)
class Installed:
    """The result of ``installed``.

    :param missing: categories and kinds of discovery that the configuration uses and that are not installed;
        the error names what to install.
    :param local: plugins of the configuration that are files.
    """

    distributions: list[Distribution] = field(default_factory=list)
    missing: list[Provided] = field(default_factory=list)
    local: list[Use] = field(default_factory=list)


def installed(registry: Registry, config: Config | None) -> Installed:
    """List everything that is installed, and load it.

    :param config: searched for uses; without it there are none.
    """
    distributions: dict[str, Distribution] = {}
    for point in registry.points:
        name, version = _owner(point)
        found = distributions.setdefault(name, Distribution(name, version))
        if kinds.kind_of(point.name) is kinds.HOOKS:
            found.provides.append(_implemented(point, registry))
        else:
            found.provides.append(_provided(point.name, registry, config))
    result = Installed([distributions[name] for name in sorted(distributions)])
    if config is not None:
        built_in = _categories_built_in(registry)
        wanted = {settings.category for settings in config.plugins.values()}
        wanted |= {built_in[name] for name in _listed(config) & built_in.keys()}
        wanted -= set(registry.names(kinds.CATEGORY))
        if CATEGORY in wanted:
            result.local = list(_uses(registry, config, CATEGORY))
        for category in sorted(wanted - {CATEGORY}):
            result.missing.append(_provided(category, registry, config))
        words = {settings.discovery for settings in config.upstreams.values()}
        for word in sorted(filter(None, words - {"transparent", *registry.names(kinds.DISCOVERY)})):
            result.missing.append(_provided(f"discovery:{word}", registry, config))
    return result


def _owner(point: EntryPoint) -> tuple[str, str]:
    if point.dist is None:
        return point.value, ""
    return point.dist.name, point.dist.version


def _implemented(point: EntryPoint, registry: Registry) -> Provided:
    """Describe implementations of another distribution's hooks."""
    provided = Provided(kinds.HOOKS.label, point.name.removeprefix(kinds.HOOKS.prefix))
    try:
        registry.load_point(point)
    except PluginLoadError as error:
        provided.error = str(error)
    return provided


def _provided(point: str, registry: Registry, config: Config | None) -> Provided:
    kind = kinds.kind_of(point)
    name = point.removeprefix(kind.prefix)
    provided = Provided(kind.label, name)
    try:
        thing = registry.find(kind, name)
        if (named := getattr(thing, "__qualname__", None)) is not None:
            provided.class_name = f"{thing.__module__}.{named}"
    except (MissingPluginError, PluginLoadError) as error:
        provided.error = str(error)
    if config is not None:
        if kind is kinds.CATEGORY:
            provided.uses = list(_uses(registry, config, name))
        elif (finder := _FINDERS.get(kind)) is not None:
            provided.uses = list(finder(config, name))
    return provided


def _categories_built_in(registry: Registry) -> dict[str, str]:
    """Return the category of each instance that every configuration has."""
    found = {}
    for name in registry.names(kinds.INSTANCE):
        with suppress(MissingPluginError, PluginLoadError):  # reported where it is listed
            found[name] = str(registry.find(kinds.INSTANCE, name)["category"])
    return found


def _uses(registry: Registry, config: Config, category: str) -> Iterator[Use]:
    listed = _listed(config)
    for name, settings in config.plugins.items():
        if settings.category == category:
            place = place_of_key(config.source, ("plugins", name))
            yield Use(name, _listing(config, name), place)
    for name, its_category in _categories_built_in(registry).items():
        if its_category == category and name in listed:
            yield Use(name, _listing(config, name), Place())


def _key_uses(section: str, config: Config, key: str) -> Iterator[Use]:
    for path, table in claiming_tables(config):
        if path[0] == section and key in table.claimed:
            name = str(path[1]) if section == "locations" else dotted(path)
            yield Use(name, [name], place_of_key(config.source, (*path, key)))


def _source_uses(config: Config, key: str) -> Iterator[Use]:
    for name, certificate in config.certificates.items():
        if key in certificate.claimed or key in config.tables["certificates"][name]:
            yield Use(name, [], place_of_key(config.source, ("certificates", name, key)))


def _discovery_uses(config: Config, word: str) -> Iterator[Use]:
    for name, settings in config.upstreams.items():
        if settings.discovery == word:
            users = [one for one, location in config.locations.items() if location.upstream == name]
            place = place_of_key(config.source, ("upstreams", name, "discovery"))
            yield Use(name, users, place)


def _instance_uses(config: Config, name: str) -> Iterator[Use]:
    if name in _listed(config):
        yield Use(name, _listing(config, name), Place())


def _listed(config: Config) -> set[str]:
    found = {plugin for location in config.locations.values() for plugin in location.plugins}
    return found | {plugin for server in config.servers.values() for plugin in server.plugins}


def _listing(config: Config, plugin: str) -> list[str]:
    locations = [name for name, one in config.locations.items() if plugin in one.plugins]
    servers = [
        dotted(("servers", name)) for name, one in config.servers.items() if plugin in one.plugins
    ]
    return [*locations, *servers]


def _balancer_uses(config: Config, word: str) -> Iterator[Use]:
    for name, settings in config.upstreams.items():
        if settings.algo.partition(":")[0] == word:
            place = place_of_key(config.source, ("upstreams", name, "algo"))
            yield Use(f"upstreams.{name}", [], place)


_FINDERS: Final[Mapping[kinds.Kind[Any], Callable[[Config, str], Iterator[Use]]]] = {
    kinds.INSTANCE: _instance_uses,
    **{kind: partial(_key_uses, section) for section, kind in kinds.CLAIMS.items()},
    kinds.CERTIFICATE_SOURCE: _source_uses,
    kinds.DISCOVERY: _discovery_uses,
    kinds.BALANCER: _balancer_uses,
}
"""Kind -> function that finds its uses in a configuration."""
