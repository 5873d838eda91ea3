"""Configuration values that name files, and the files that a configuration depends on.

Nothing is opened here, but plugin settings are checked for names of existing files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pingap.config.environment import texts_in
from pingap.config.files import parse_files
from pingap.config.formats.installed import TOML_ONLY, Formats
from pingap.config.load import Config
from pingap.config.model import Model
from pingap.config.pem_values import PEM_KEYS, pem_path, pem_text
from pingap.config.references import file_reference
from pingap.config.snapshot import Snapshot

LOCAL_CATEGORY: Final = "python"
"""The category whose plugins are files: that of ``pingap.plugins.local``."""
_LONGEST: Final = 4096


def watched_files(config: Config) -> tuple[str, ...]:
    """Return the files, besides its TOML files, whose content a configuration depends on.

    They are certificates and keys, files of secrets, files of ``category = "python"``, and every file that
    a plugin setting names. Missing files are included if they must exist, because their appearance changes
    the result.
    """
    directory = config.source.directory
    found = {
        *_of_pem(config),
        *secret_files(config.tables, directory),
        *(path for name in config.plugins for path in files_of_plugin(config, name)),
    }
    return tuple(sorted(map(str, found)))


def named_files(snapshot: Snapshot, formats: Formats = TOML_ONLY) -> tuple[str, ...]:
    """Return the files named by texts that cannot be loaded; one of them may be the cause."""
    directory = Path(snapshot.directory)
    documents = parse_files(snapshot, formats).documents
    return tuple(
        sorted(str(path) for one in documents for path in secret_files(one.data, directory))
    )


def pem_files(settings: Model, keys: tuple[str, ...], directory: Path) -> Iterator[Path]:
    """Yield the files that contain PEM for one table.

    :param keys: the keys of the table that take PEM.
    """
    for key in keys:
        path = pem_path(pem_text(getattr(settings, key)), directory)
        if path is not None:
            yield path


def _of_pem(config: Config) -> Iterator[Path]:
    for section, keys in PEM_KEYS.items():
        for settings in getattr(config, section).values():
            yield from pem_files(settings, keys, config.source.directory)


def secret_files(value: Any, directory: Path) -> Iterator[Path]:
    """Yield the files that texts anywhere in a value refer to as ``file:PATH``."""
    for text in texts_in(value):
        if (path := file_reference(text)) is not None:
            yield directory / path


def files_of_plugin(config: Config, name: str) -> Iterator[Path]:
    """Yield the files that a plugin is made from: its own, if it is local, and those it names.

    A name may be relative to the configuration, or to the plugin's file.
    """
    settings = config.plugins[name]
    directories = [config.source.directory]
    path = settings.options.get("path")
    if settings.category == LOCAL_CATEGORY and isinstance(path, str) and path:
        own = config.source.directory / path
        directories.append(own.parent)
        yield own
    yield from secret_files(settings.options, config.source.directory)
    for text in texts_in(settings.options):
        yield from (place for one in directories if (place := _existing(text, one)) is not None)


def _existing(text: str, directory: Path) -> Path | None:
    if not text or len(text) > _LONGEST or "\n" in text:
        return None
    place = directory / text
    try:
        return place if place.is_file() else None
    except (OSError, ValueError):  # too long, a NUL in it
        return None
