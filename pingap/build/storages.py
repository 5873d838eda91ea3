"""Storages and formats of the configuration: the core's own, and those of distributions."""

from __future__ import annotations

from collections.abc import Mapping

from pingap.config import ConfigError, Problem
from pingap.config.formats.installed import TOML_SUFFIX, Formats
from pingap.config.formats.interface import ConfigFormat, FormatError
from pingap.config.formats.toml import TOML
from pingap.config.masking import redacted
from pingap.config.storage.files import FileStorage
from pingap.config.storage.interface import ConfigStorage, StorageFactory
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


def place_of(location: str) -> str:
    """Return a location as messages show it, because it may contain a password."""
    scheme = scheme_of(location)
    return f"{scheme}://" if scheme else location
