"""The versions of a configuration: finding, showing, comparing and restoring them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pingap.build.check import check
from pingap.build.graph import build
from pingap.build.loading import load_configuration
from pingap.config import Config, ConfigError, Problem, Snapshot
from pingap.config.changes import Change, PluginModels, changes_between
from pingap.config.storage.errors import StorageError
from pingap.config.storage.history import ConfigHistory, ConfigNote, ConfigVersion
from pingap.config.storage.interface import ConfigStorage
from pingap.observability.log_files import LogFiles
from pingap.plugins.registry import Registry
from pingap.plugins.settings_models import settings_models

NO_HISTORY = (
    "no versions of this configuration are kept: start pingap with -c PATH?enable_history, "
    "or, if it is in files, create the directory PATH-history"
)


def history_of(storage: ConfigStorage) -> ConfigHistory:
    """Return the history of a storage.

    :raises StorageError: it keeps none.
    """
    if (history := storage.history) is None:
        raise StorageError(NO_HISTORY)
    return history


def chosen(versions: Iterable[ConfigVersion], text: str) -> ConfigVersion:
    """Return the version that a name, a hash or the beginning of one of them means; the newest, if several have a hash.

    :raises StorageError: there is none, or more than one.
    """
    found = [one for one in versions if one.name.startswith(text) or one.version.startswith(text)]
    if not found:
        raise StorageError(f"there is no version {text}; see pingap history list")
    if len({one.version for one in found}) > 1:
        raise StorageError(f"{text} means {len(found)} versions; write more of it")
    return found[-1]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that was loaded, and the models of its plugins."""

    config: Config
    models: PluginModels


def load_version(snapshot: Snapshot, registry: Registry) -> Loaded:
    """Load a configuration; where plugins cannot be built, secrets are known by the names of their keys.

    :raises ConfigError: it cannot be loaded.
    """
    config = load_configuration(snapshot, registry)
    try:
        models = settings_models(build(config, registry, log_files=LogFiles(opens=False)).plugins)
    except ConfigError:
        models = {}
    return Loaded(config, models)


def differences(old: Loaded, new: Loaded) -> list[Change]:
    """Compare two versions; secrets are masked."""
    names = old.models.keys() | new.models.keys()
    models = {name: {*old.models.get(name, ()), *new.models.get(name, ())} for name in names}
    return changes_between(old.config, new.config, models)


@dataclass(frozen=True, slots=True)
class Restoration:
    """A version that is to replace the current texts.

    :param current: the current texts.
    :param snapshot: those of the version, with the current names of documents, and with what versions leave out.
    """

    current: Snapshot
    snapshot: Snapshot

    def problems(self, registry: Registry) -> list[Problem]:
        """Return what is wrong with it, or its warnings."""
        return check(self.snapshot, registry)

    @property
    def documents(self) -> dict[str, str | None]:
        """What has to be written."""
        now, then = dict(self.current.files), dict(self.snapshot.files)
        removed: dict[str, str | None] = dict.fromkeys(now.keys() - then.keys())
        return {name: text for name, text in then.items() if now.get(name) != text} | removed


def restoration(current: Snapshot, version: Snapshot) -> Restoration:
    """Return what restores a version."""
    kept = current.kept()
    names = {
        inside: name
        for (inside, _), (name, _) in zip(kept.relative_files(), kept.files, strict=True)
    }
    # The directory may be that of another storage, whose documents are in no version.
    in_directory = any(inside != name for inside, name in names.items())
    prefix = f"{current.directory.rstrip('/')}/" if in_directory else ""
    restored = [(names.get(name, f"{prefix}{name}"), text) for name, text in version.files]
    in_version = set(kept.files)
    others = [file for file in current.files if file not in in_version]
    files = tuple(restored + others)
    return Restoration(current, replace(current, files=files, problems=(), warnings=()))


async def restore(storage: ConfigStorage, wanted: Restoration, note: ConfigNote) -> str:
    """Write a version and record it; return the version of the texts.

    :raises StorageError: it cannot be written; ``StorageConflict``: the texts have changed meanwhile.
    """
    version = await storage.write(wanted.documents, expected=wanted.current.version)
    if (history := storage.history) is not None:
        await history.record(wanted.snapshot.kept(), note)
    return version
