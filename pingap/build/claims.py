"""Plugin instances behind keys of tables that distributions claim, such as ``grpc_web`` of a location."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pingap.config import Config
from pingap.config.model import Claimable
from pingap.config.problem import KeyPath
from pingap.config.reuse import claimed_digest
from pingap.config.source import Report
from pingap.config.table import ConfigTable
from pingap.hookspecs import SERVER_PHASES, UPSTREAM_PHASES
from pingap.plugins.base import Plugin
from pingap.plugins.chains import Instance
from pingap.plugins.kinds import CERTIFICATE_KEY, CERTIFICATE_SOURCE, CLAIMS
from pingap.plugins.order_lint import implementations
from pingap.plugins.registry import MissingPluginError, PluginLoadError, Registry

Construct = Callable[[KeyPath, type[Plugin], dict[str, Any], str, ConfigTable], Plugin | None]

_PHASES: Final = {"certificates": SERVER_PHASES, "upstreams": UPSTREAM_PHASES}
"""Section -> the phases that run for its tables, where not all do."""


class ClaimBuilder:
    """Builds one instance for all keys of one class in one table.

    :param report: collects what cannot be built.
    """

    def __init__(self, config: Config, registry: Registry, report: Report) -> None:
        self._config = config
        self._registry = registry
        self._report = report
        self.instances: dict[KeyPath, list[Instance]] = {}
        """Path of a table that has such keys -> its instances."""
        self.keys: dict[str, str] = {}
        """The table and keys that each instance was built from, by name."""
        self.places: dict[str, KeyPath] = {}
        """Path of the first key of each instance, by name."""

    def build_all(self, construct: Construct) -> None:
        """Build the instances of all tables.

        :param construct: validates the settings of an instance and builds it; returns None if it cannot.
        """
        for path, table in claiming_tables(self._config):
            if table.claimed:
                self.instances[path] = list(self._of_table(path, table.claimed, construct))

    def place(self, name: str) -> KeyPath:
        """Return the path of the table or key that an instance of any kind was built from."""
        return self.places.get(name, ("plugins", name))

    def deprecated(self, instance: Instance, text: str) -> None:
        """Report something deprecated that an instance implements, once."""
        warning = self._report.source.problem(self.place(instance.name), text)
        if warning not in self._report.warnings:
            self._report.warnings.append(warning)

    def of_section(self, section: str) -> list[Instance]:
        """Return the instances of all tables of a section, or of ``[basic]``."""
        return [
            one for path, found in self.instances.items() if path[0] == section for one in found
        ]

    def _of_table(
        self, path: KeyPath, claimed: Mapping[str, Any], construct: Construct
    ) -> Iterator[Instance]:
        """Yield the instances of one table, one for each class."""
        section, name = str(path[0]), "".join(map(str, path[1:]))
        settings: dict[type[Plugin], dict[str, Any]] = {}
        for key, value in claimed.items():
            if self._is_of_source(section, key):
                continue
            try:
                cls = self._registry.find(CLAIMS[section], key)
            except (MissingPluginError, PluginLoadError) as error:
                self._report.error((*path, key), str(error))
                continue
            settings.setdefault(cls, {})[key] = value
        for cls, options in settings.items():
            first = next(iter(options))
            full = (
                f"{name}.{first}" if section == "locations" else ".".join(map(str, (*path, first)))
            )
            self.keys[full] = claimed_digest(self._config, section, name, cls)
            table = ConfigTable(section, name, written(self._config, path))
            plugin = construct(path, cls, options, self.keys[full], table)
            if plugin is not None:
                instance = Instance(full, plugin)
                self.places[full] = (*path, first)
                self._check_phases(instance, section)
                yield instance

    def add_source(self, path: KeyPath, key: str, instance: Instance) -> None:
        """Add the source of a table's certificate.

        :param key: the first of its keys.
        """
        self.instances.setdefault(path, []).append(instance)
        self.places[instance.name] = (*path, key)
        self._check_phases(instance, "certificates")

    def _is_of_source(self, section: str, key: str) -> bool:
        """Return whether a key belongs to a certificate source (``SourceBuilder``)."""
        if section != "certificates" or key in self._registry.names(CERTIFICATE_KEY):
            return False
        return key in self._registry.names(CERTIFICATE_SOURCE)

    def _check_phases(self, instance: Instance, section: str) -> None:
        """Report a phase of an instance that never runs for a table of its section."""
        runs = _PHASES.get(section)
        if runs is None:
            return
        for phase, _ in implementations(instance):
            if phase not in runs:
                kind = section.removesuffix("s")
                text = f"its plugin has a phase that does not run for {_article(kind)}: {phase}"
                self._report.error(self.places[instance.name], text)


def written(config: Config, path: KeyPath) -> Mapping[str, object]:
    """Return a table as it is written, with ``includes`` expanded."""
    table: Mapping[str, Any] = config.tables
    for key in path:
        table = table[str(key)]
    return table


def claiming_tables(config: Config) -> Iterator[tuple[KeyPath, Claimable]]:
    """Yield every table in which distributions can have keys, with its path."""
    yield ("basic",), config.basic
    for section in CLAIMS:
        if section != "basic":
            for name, settings in getattr(config, section).items():
                yield (section, name), settings


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
