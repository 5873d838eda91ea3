"""Storages and formats of the configuration: the core's own, and those of distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pingap.config import ConfigError, Problem
from pingap.config.formats.installed import TOML_SUFFIX, Formats
from pingap.config.formats.interface import ConfigFormat, FormatError
from pingap.config.formats.toml import TOML
from pingap.config.masking import redacted
from pingap.config.storage.files import FileStorage
from pingap.config.storage.interface import ConfigStorage, StorageFactory
from pingap.config.storage.joined import JoinedStorage, Part
from pingap.config.storage_location import scheme_of
from pingap.hookspecs import hookimpl
from pingap.plugins import kinds
from pingap.plugins.registry import MissingPluginError, PluginLoadError, Registry

FILES: str = "file"
"""The scheme of a location without one."""


class OwnStorages:
    """The storages and formats of the core; ``registry`` is set once there is one."""

    registry: Registry

    @hookimpl(trylast=True)
    def pingap_storages(self) -> Mapping[str, StorageFactory]:
        """Files."""
        return {FILES: self._files}

    @hookimpl(trylast=True)
    def pingap_formats(self) -> Mapping[str, ConfigFormat]:
        """TOML."""
        return {TOML_SUFFIX: TOML}

    def _files(self, location: str) -> FileStorage:
        return FileStorage(location.removeprefix(f"{FILES}://"), formats_of(self.registry))


def formats_of(registry: Registry) -> Formats:
    """Return the formats that can be read; a distribution's format is loaded for its first file."""

    def find(suffix: str) -> ConfigFormat:
        try:
            return registry.find(kinds.FORMAT, suffix)
        except (MissingPluginError, PluginLoadError) as error:
            raise FormatError(str(error)) from error

    return Formats(registry.names(kinds.FORMAT), find)


def storage_at(location: str, registry: Registry) -> ConfigStorage:
    """Return the storage of a location as given to ``-c``; nothing is opened yet.

    :raises ConfigError: there is no such storage, or the location is wrong.
    """
    scheme = scheme_of(location) or FILES
    try:
        storage: ConfigStorage = registry.find(kinds.STORAGE, scheme)(location)
    except (MissingPluginError, PluginLoadError, ValueError) as error:
        text = redacted(str(error), location)
        raise ConfigError([Problem((), text, place_of(location))]) from None
    storage.formats = formats_of(registry)
    return storage


def storage_of(locations: Sequence[str], registry: Registry) -> ConfigStorage:
    """Return the storage of all values of ``-c``; nothing is opened yet.

    :raises ConfigError: there is no such storage, or a location is wrong.
    """
    if len(locations) == 1:
        return storage_at(locations[0], registry)
    problems: list[Problem] = []
    parts: list[Part] = []
    for at, location in enumerate(locations):
        if location in locations[:at]:
            problems.append(Problem((), "is given twice with -c", place_of(location)))
            continue
        try:
            parts.append(Part(place_of(location), storage_at(location, registry)))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return JoinedStorage(parts)


def place_of(location: str) -> str:
    """Return a location as messages show it, because it may contain a password."""
    scheme = scheme_of(location)
    return f"{scheme}://" if scheme else location


def places_of(locations: Sequence[str]) -> str:
    """Return all values of ``-c`` as messages show them."""
    return ", ".join(map(place_of, locations))
