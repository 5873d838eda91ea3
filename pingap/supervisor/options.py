"""Options of a serving process from the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pingap.build.loading import read_now
from pingap.build.storages import places_of, storage_of
from pingap.config import Snapshot
from pingap.config.storage.interface import ConfigStorage
from pingap.config.storage.memory import TextStorage
from pingap.plugins.registry import Registry

_QUICK_START: Final = "<quick start>"
"""Shown in problems instead of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Options of serving.

    :param conf: the values of ``-c``; none for a configuration that is not in files.
    :param text: that configuration.
    :param log: the value of ``--log``; empty for standard error.
    :param threads: the value of ``--threads``.
    :param arguments: of the command line, for the process that replaces this one.
    """

    conf: tuple[str, ...] = ()
    text: str = ""
    log: str = ""
    threads: int | None = None
    daemon: bool = False
    upgrade: bool = False
    autoreload: bool = False
    autorestart: bool = False
    arguments: tuple[str, ...] = ()

    def storage(self, registry: Registry) -> ConfigStorage:
        """Return the storage of the configuration.

        :raises ConfigError: there is no such storage, or a location is wrong.
        """
        if self.conf:
            return storage_of(self.conf, registry)
        return TextStorage(self.text, _QUICK_START)

    def read(self, registry: Registry) -> Snapshot:
        """Read the current texts of the configuration when no event loop is running.

        :raises ConfigError: it cannot be read.
        """
        return read_now(self.storage(registry), places_of(self.conf) or _QUICK_START)

    @property
    def watches(self) -> bool:
        """Whether changes of the files are applied automatically."""
        return bool(self.conf) and (self.autoreload or self.autorestart)
