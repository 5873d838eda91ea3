"""Configuration in files: a path as given to ``-c``."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path, PurePath

import anyio
import anyio.to_thread

from pingap.config.editing.documents import Layout
from pingap.config.files import FILE_LIMIT, read
from pingap.config.formats.installed import TOML_ONLY, Formats
from pingap.config.problem import quoted
from pingap.config.snapshot import Snapshot
from pingap.config.storage.errors import StorageConflict, StorageError
from pingap.config.storage.file_history import FileHistory
from pingap.config.storage.interface import ConfigStorage
from pingap.config.storage.replacing import only_writer, replace_files
from pingap.config.storage_location import is_set
from pingap.config.units import format_size
from pingap.config.watch import ConfigurationWatch


class FileStorage(ConfigStorage):
    """A file, or all files below a directory that have one of the formats.

    Documents are named after their files, including the path of the directory; a new one may be named
    without it.

    :param location: as given to ``-c``.
    :param formats: the formats that can be read.
    """

    def __init__(self, location: str, formats: Formats = TOML_ONLY) -> None:
        self.location = location
        self.formats = formats
        self._root, _, query = location.partition("?")
        self._path = Path(self._root)
        self._separate = is_set(query, "separation")
        self._keeps_history = is_set(query, "enable_history")

    @property
    def layout(self) -> Layout:
        """One document, one for each section, or one for each item with ``?separation``."""
        if not self._path.is_dir():
            return Layout.ONE_DOCUMENT
        return Layout.BY_ITEM if self._separate else Layout.BY_SECTION

    @property
    def history(self) -> FileHistory | None:
        """The versions in ``<path>-history``, with ``?enable_history`` or if that directory exists."""
        path = Path(os.path.abspath(self._root))  # noqa: PTH100 - a link stays one
        folder = path.with_name(f"{path.name}-history")
        return FileHistory(folder) if self._keeps_history or folder.is_dir() else None

    def snapshot(self) -> Snapshot:
        """Read the files; errors are in the snapshot. For processes that must not start threads."""
        return read(self.location, self.formats)

    async def read(self) -> Snapshot:
        """Read the files."""
        return await anyio.to_thread.run_sync(self.snapshot)

    async def write(self, documents: Mapping[str, str | None], *, expected: str) -> str:
        """Write files, each of them atomically.

        :raises StorageConflict: a file was changed meanwhile.
        :raises StorageError: a file cannot be written, or would not be read; nothing is written.
        """
        write = partial(self._write, dict(documents), expected)
        return await anyio.to_thread.run_sync(write)

    async def watch(self) -> AsyncIterator[None]:
        """Yield an item at once, and after each change, within a second."""
        watch = ConfigurationWatch(self.location, self.formats)
        yield
        while True:
            await anyio.sleep(watch.seconds_to_wait(time.monotonic()))
            if watch.poll(time.monotonic()):
                yield

    def _write(self, documents: dict[str, str | None], expected: str) -> str:
        directory = self._path if self._path.is_dir() else self._path.parent
        try:
            with only_writer(directory):
                snapshot = self._unchanged(expected)
                known = dict(snapshot.files)
                texts = {self._name(name, known): text for name, text in documents.items()}
                for name in [name for name, text in texts.items() if text is None]:
                    if name not in known:
                        raise StorageError(f"{quoted(name)} cannot be removed: it does not exist")
                contents = {Path(name): _content(name, text) for name, text in texts.items()}
                replace_files(contents, lambda: self._check(expected))
        except OSError as error:
            raise StorageError(f"{directory} cannot be written: {error.strerror}") from None
        files = {**known, **texts}
        kept = tuple((name, text) for name, text in files.items() if text is not None)
        return Snapshot(snapshot.directory, kept).version

    def _unchanged(self, expected: str) -> Snapshot:
        snapshot = self.snapshot()
        if snapshot.version != expected:
            raise StorageConflict("the files were changed meanwhile")
        return snapshot

    def _check(self, expected: str) -> None:
        self._unchanged(expected)

    def _name(self, name: str, known: Mapping[str, str]) -> str:
        """Return the name of a document, including the path of the directory.

        :raises StorageError: the document would not be read.
        """
        if name in known:
            return name
        if not self._path.is_dir():
            if name == self._path.name:
                return self._root
            raise StorageError(f"{quoted(name)} cannot be written: the configuration is one file")
        inside = PurePath(name)
        if inside.is_relative_to(self._path):
            inside = inside.relative_to(self._path)
        wrong = inside.is_absolute() or not inside.parts or "\0" in name
        if wrong or any(part.startswith(".") for part in inside.parts):
            raise StorageError(f"{quoted(name)} cannot be the name of a document")
        if not self.formats.reads(inside.name):
            known_suffixes = ", ".join(f".{one}" for one in sorted(self.formats.suffixes))
            text = f"{quoted(name)} would not be read: expected the suffix {known_suffixes}"
            raise StorageError(text)
        for parent in [*inside.parents][:-1]:
            if (self._path / parent).is_symlink():
                raise StorageError(f"{quoted(name)} would not be read: {parent} is a link")
        return f"{self._root.rstrip('/')}/{inside}"  # the name that ``read`` gives it


def watch_of_files(storage: ConfigStorage) -> ConfigurationWatch:
    """Return a watch of the files of a configuration; if it is elsewhere, of the files that it names."""
    if isinstance(storage, FileStorage):
        return ConfigurationWatch(storage.location, storage.formats)
    return ConfigurationWatch("")


def _content(name: str, text: str | None) -> bytes | None:
    """Return the bytes of a document.

    :raises StorageError: the document could not be read back.
    """
    if text is None:
        return None
    try:
        # Reading removes a byte order mark.
        content = (f"\ufeff{text}" if text.startswith("\ufeff") else text).encode()
    except UnicodeEncodeError:
        raise StorageError(f"{quoted(name)} cannot be written: it is not Unicode text") from None
    if len(content) > FILE_LIMIT:
        raise StorageError(f"{quoted(name)} is larger than {format_size(FILE_LIMIT)}")
    return content
