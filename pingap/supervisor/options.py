"""Options of a serving process from the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pingap.build.loading import read_now
from pingap.build.storages import places_of, storage_of
from pingap.config import ConfigError, Problem, Snapshot
from pingap.config.storage.cache import SnapshotCache
from pingap.config.storage.errors import StorageError
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
    :param cache: the value of ``--cache``, absolute; empty without a copy of the configuration.
    :param log: the value of ``--log``; empty for standard error.
    :param threads: the value of ``--threads``.
    :param arguments: of the command line, for the process that replaces this one.
    """

    conf: tuple[str, ...] = ()
    text: str = ""
    cache: str = ""
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
    def snapshot_cache(self) -> SnapshotCache | None:
        """The copy of the configuration, with ``--cache``."""
        return SnapshotCache(self.cache, self.conf) if self.cache else None

    def read_at_start(self, registry: Registry) -> Snapshot:
        """Read the current texts, or those of the copy if their storage cannot be read.

        :raises ConfigError: neither can be read.
        """
        try:
            return self.read(registry)
        except ConfigError as error:
            cache = self.snapshot_cache
            if cache is None:
                raise
            (problem,) = error.problems
            reason = problem.message.removeprefix("cannot be read: ")
            place = places_of(self.conf)
            try:
                return cache.load(reason, place)
            except StorageError as failure:
                raise ConfigError([problem, Problem((), str(failure), "--cache")]) from None

    @property
    def watches(self) -> bool:
        """Whether changes of the files are applied automatically."""
        return bool(self.conf) and (self.autoreload or self.autorestart)
