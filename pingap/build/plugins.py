"""Builds plugin instances from the configuration, and the chains of locations."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from pingap.build.claims import ClaimBuilder, written
from pingap.build.server_plugins import ServerPlugins
from pingap.config import (
    Config,
    LocationConfig,
    PluginConfig,
    Problem,
    Surroundings,
    problems_from,
)
from pingap.config.decode import with_options
from pingap.config.environment import validated
from pingap.config.problem import quoted
from pingap.config.reuse import plugin_digest
from pingap.config.source import Report
from pingap.config.table import ConfigTable
from pingap.hookspecs import UPSTREAM_PHASES
from pingap.observability.plugin_failures import place_of
from pingap.plugins import kinds
from pingap.plugins import local as local_plugins
from pingap.plugins import tracing as hook_trace
from pingap.plugins.balancer import BalancerFactory
from pingap.plugins.base import Plugin, PluginSettings
from pingap.plugins.chains import (
    DEFAULT_TIMEOUT,
    Chains,
    ContractError,
    Instance,
    freeze,
)
from pingap.plugins.local import FileKeys, LocalPluginError, find_class, load_module
from pingap.plugins.order_lint import hazards, may_answer
from pingap.plugins.registry import MissingPluginError, PluginLoadError, Registry
from pingap.proxy.runtime import LocationRuntime
from pingap.proxy.upstream_headers import mistakes_in

Key = tuple[str | int, ...]


class PluginBuilder:
    """Builds every configured instance once, and chains from them.

    :param problems: collects errors; nothing runs if there is any.
    :param warnings: collects warnings about keys without effect.
    """

    def __init__(
        self,
        config: Config,
        registry: Registry,
        problems: list[Problem],
        warnings: list[Problem],
    ) -> None:
        self._config = config
        self._registry = registry
        self._problems = problems
        self._warnings = warnings
        self._failed: set[str] = set()
        self._modules: dict[Path, ModuleType] = {}
        self._asked: set[type[Plugin]] = set()
        self.balancers: dict[str, BalancerFactory] = {}
        """For classes in plugin files: name in ``algo`` -> the balancer factory."""
        self.balancer_keys: dict[str, str] = {}
        """Name in ``algo`` -> the key of the instance that provides it."""
        self._surroundings = Surroundings(
            directory=config.source.directory, upstreams=tuple(config.upstreams)
        )
        self.instances: dict[str, Instance] = {}
        """The instances that were built, by name."""
        self.keys: dict[str, str] = {}
        """The key that each instance was built from, by name."""
        report = Report(config.source, problems, warnings)
        self.claims = ClaimBuilder(config, registry, report)
        """Builds the instances behind keys that distributions claim."""
        self.servers = ServerPlugins(config, self.claims, report)
        """The plugins of servers."""
        self._of_location: dict[str, list[Instance]] = {}
        self._built_in = registry.owners(kinds.INSTANCE).keys()
        """Names of instances that every configuration has."""
        self._unchanged: dict[str, Instance] = {}
        self._chains: dict[tuple[int, ...], Chains] = {}
        """Chains by the identities of their instances: locations with the same plugins share them."""

    def reuse(self, instances: Iterable[Instance], keys: Mapping[str, str]) -> None:
        """Take over instances that would be built from the same content.

        :param instances: the instances that are serving.
        :param keys: the key that each was built from, by name.
        """
        self._unchanged = {
            keys[instance.name]: instance for instance in instances if instance.name in keys
        }

    def build_configured(self) -> None:
        """Build all of ``[plugins]``, and the instances behind claimed keys of all tables.

        Built-in instances are only built when a location or server lists them.
        """
        for name, settings in self._config.plugins.items():
            if name not in self._built_in:
                self._plugin(name, settings)
        self.claims.build_all(self._construct)
        self.keys |= self.claims.keys
        for instances in self.claims.instances.values():
            self.instances |= {one.name: one for one in instances}
        for name, server in self._config.servers.items():
            self.servers.prepare(name, list(self._listed(("servers", name), server.plugins)))

    def chains(self, path: Key, settings: LocationConfig) -> Chains:
        """Return the chains of a location: of its claimed keys, then of the plugins it lists."""
        claimed = self.claims.instances.get(path, [])
        instances = [*claimed, *self._listed(path, settings.plugins)]
        name = str(path[1])
        self._of_location[name] = instances
        front = self.servers.in_front_of(name)
        has_origin = settings.upstream or any(one.plugin.sets_origin for one in instances)
        if not has_origin and not any(map(may_answer, (*instances, *front))):
            text = "answers every request with 503: it has no upstream, and no plugin that answers"
            self._warnings.append(self._config.source.problem(path, text))
        for hazard in hazards(instances):
            self._warnings.append(self._config.source.problem((*path, "plugins"), str(hazard)))
        try:
            chains = self._frozen(instances)
        except ContractError as error:
            self._problem((*path, "plugins"), str(error))
            return Chains()
        return hook_trace.traced(chains, name) if hook_trace.is_on() else chains

    @cached_property
    def upstream_chains(self) -> dict[str, Chains]:
        """Return the chains of each upstream that has claimed keys."""
        found = {}
        for path, instances in self.claims.instances.items():
            if path[0] == "upstreams":
                name = str(path[1])
                try:
                    chains = freeze(instances, self.claims.deprecated, UPSTREAM_PHASES)
                except ContractError as error:
                    self._problem(path, str(error))
                    continue
                traced = hook_trace.is_on()
                found[name] = hook_trace.traced(chains, f"of {name}") if traced else chains
        return found

    def at_server(self, server: str, location: LocationRuntime) -> LocationRuntime:
        """Return the location as seen by a server: the same object, unless the server has plugins for it."""
        own, instances = location.chains, self._of_location[location.name]
        chains = self.servers.at_location(server, location.name, own, instances)
        return location if chains is own else replace(location, chains=chains)

    def _listed(self, path: Key, names: Sequence[str]) -> Iterator[Instance]:
        """Yield the instances that a location or server lists."""
        for place, name in enumerate(names):
            if name in names[:place]:
                self._problem((*path, "plugins", place), f'"{name}" is listed twice')
            elif (instance := self._instance(name)) is not None:
                yield instance

    def _frozen(self, instances: list[Instance]) -> Chains:
        """Return the chains of some instances.

        :raises ContractError: an implementation that no phase can call.
        """
        key = tuple(map(id, instances))  # all of them live as long as the builder
        if key not in self._chains:
            self._chains[key] = freeze(instances, self.claims.deprecated)
        return self._chains[key]

    def source(
        self, path: Key, name: str, cls: type[Plugin], options: object, key: str
    ) -> Plugin | None:
        """Build the source of a table's certificate, or reuse the existing one.

        :param name: of the instance.
        :param key: the key that it is built from.
        :returns: None if it cannot be built, which is reported.
        """
        self.keys[name] = key
        table = ConfigTable("certificates", str(path[1]), written(self._config, path))
        plugin = self._construct(path, cls, options, key, table)
        if plugin is not None:
            instance = self.instances[name] = Instance(name, plugin)
            self.claims.add_source(path, name.rpartition(".")[2], instance)
        return plugin

    def _plugin(self, name: str, settings: PluginConfig) -> None:
        """Build an instance, or record why it cannot be built."""
        path: Key = ("plugins", name)
        options, plugin = settings.options, None
        if settings.category == local_plugins.CATEGORY:
            # Before the file is read: what changes later belongs to the next reload.
            self.keys[name] = plugin_digest(self._config, name, Plugin)
            cls = self._local_class(path, options)
            if cls is not None:
                self._take_balancers(name, cls)
            options = {key: options[key] for key in options if key not in local_plugins.KEYS}
        else:
            cls = self._installed_class(path, settings.category)
            if cls is not None:
                configured = name in self._config.plugins  # or built in
                self.keys[name] = plugin_digest(self._config, name, cls) if configured else name
        if cls is not None:
            timeout = settings.timeout or DEFAULT_TIMEOUT
            if "timeout" in cls.Settings.model_fields:
                timeout = DEFAULT_TIMEOUT  # the key is a setting of the plugin
            else:
                options = {key: options[key] for key in options if key != "timeout"}
            step = self._step(path, cls, settings.step)
            self._check_fail_open(path, cls, settings)
            plugin = self._construct(
                path, cls, options, self.keys[name], self._table(name, settings)
            )
        if cls is None or plugin is None:
            self._failed.add(name)
        else:
            self.instances[name] = Instance(name, plugin, step, settings.fail_open, timeout)

    def _check_fail_open(self, path: Key, cls: type[Plugin], settings: PluginConfig) -> None:
        if settings.fail_open and not cls.may_fail_open:
            why = "it is a guard" if cls.guard else "its class does not allow it"
            self._problem((*path, "fail_open"), f"{cls.category} cannot fail open: {why}")

    def _installed_class(self, path: Key, category: str) -> type[Plugin] | None:
        try:
            return self._registry.find(kinds.CATEGORY, category)
        except (MissingPluginError, PluginLoadError) as error:
            self._problem((*path, "category"), f'"{category}": {error}')
            return None

    def _local_class(self, path: Key, options: dict[str, Any]) -> type[Plugin] | None:
        """Load the file of ``category = "python"``, once for all plugins that it defines."""
        own = {key: options[key] for key in options if key in local_plugins.KEYS}
        source = self._config.source
        try:
            keys = FileKeys.model_validate(own)
        except ValidationError as error:
            self._problems += problems_from(error, path, source, FileKeys)
            return None
        file = source.directory / keys.path
        try:
            if file not in self._modules:
                self._modules[file] = load_module(file)
            cls = find_class(self._modules[file], keys.class_)
        except LocalPluginError as error:
            if error.line is not None:
                self._problems.append(Problem(path, str(error), str(file), error.line))
            else:
                self._problem((*path, "path"), f"{quoted(str(file))} {error}")
            return None
        return cls

    def _take_balancers(self, name: str, cls: type[Plugin]) -> None:
        """Register the balancers of a class in a plugin file, once for all its instances."""
        if (hook := getattr(cls, "pingap_balancers", None)) is None or cls in self._asked:
            return
        self._asked.add(cls)
        path: Key = ("plugins", name, "path")
        try:
            for word, factory in hook().items():
                if word in self.balancers or word in self._registry.names(kinds.BALANCER):
                    self._problem(path, f"another balancer has the name {quoted(word)}")
                self.balancers[word] = factory
                self.balancer_keys[word] = self.keys[name]
        except BaseException as error:  # a bug in the plugin
            text = f"{type(error).__name__}: {error}"
            self._problem(path, f"{cls.__name__}.pingap_balancers failed: {text}")

    def _step(self, path: Key, cls: type[Plugin], step: str) -> str | None:
        if not step or (cls.steps and step in cls.steps):
            return step or None
        path = (*path, "step")
        if cls.steps:
            expected = " or ".join(f'"{one}"' for one in cls.steps)
            self._problem(path, f'found "{step}", expected {expected}')
        else:
            text = f"has no effect: the phases of {cls.category} are fixed"
            self._warnings.append(self._config.source.problem(path, text))
        return None

    def _table(self, name: str, settings: PluginConfig) -> ConfigTable:
        """Return the table of a plugin; that of a built-in plugin is not in any file."""
        path = ("plugins", name)
        if name in self._config.tables["plugins"]:
            return ConfigTable(*path, written(self._config, path))
        return ConfigTable(*path, {"category": settings.category, **settings.options})

    def _construct(
        self, path: Key, cls: type[Plugin], options: object, key: str, table: ConfigTable
    ) -> Plugin | None:
        """Validate the settings of a plugin and build it, or reuse an instance with the same key."""
        if isinstance(options, dict):  # an empty string is the same as no key, as everywhere
            options = {key: value for key, value in options.items() if value != ""}
        try:
            settings = validated(cls.Settings, options, self._surroundings)
            for place, text in mistakes_in(settings):
                self._warnings.append(self._config.source.problem((*path, *place), text))
            unchanged = self._unchanged.get(key)
            return made(cls, settings, table) if unchanged is None else unchanged.plugin
        except ValidationError as error:
            self._problems += problems_from(error, path, self._config.source, cls.Settings)
        except ValueError as error:  # raised by a plugin because of its settings
            self._problem(path, f"cannot be built: {error}")
        except BaseException as error:  # a bug in the plugin
            file = getattr(sys.modules.get(cls.__module__), "__file__", None) or ""
            text = f"{type(error).__name__}: {error} ({place_of(error, file)})"
            self._problem(path, f"cannot be built: {text}")
        return None

    def _instance(self, name: str) -> Instance | None:
        if name in self._built_in and name not in self.instances and name not in self._failed:
            path: Key = ("plugins", name)
            try:
                table = with_options(self._registry.find(kinds.INSTANCE, name))
                self._plugin(name, PluginConfig.model_validate(table))
            except (MissingPluginError, PluginLoadError) as error:
                self._failed.add(name)
                self._problem(path, str(error))
            except ValidationError as error:
                self._failed.add(name)
                self._problems += problems_from(error, path, self._config.source, PluginConfig)
        return self.instances.get(name)

    def _problem(self, path: Key, message: str) -> None:
        self._problems.append(self._config.source.problem(path, message))


def made(cls: type[Plugin], settings: PluginSettings, table: ConfigTable) -> Plugin:
    """Return an instance of a plugin class; its ``__init__`` gets the table if it has the parameter."""
    if "table" in inspect.signature(cls).parameters:
        return cls(settings, table=table)  # type: ignore[call-arg]  # contract 1.1
    return cls(settings)
