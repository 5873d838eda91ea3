"""The history of a configuration in files: one file for each version, in a directory beside it.

The directory is ``<path>-history``, as in pingap 0.13.9; it is never read as configuration. Versions contain
the same secrets as the configuration, so only the owner can read them. A file has two lines of JSON: what
is known about the version, and its texts.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio.to_thread

from pingap.config.problem import quoted
from pingap.config.snapshot import Snapshot
from pingap.config.storage.errors import StorageError
from pingap.config.storage.history import (
    MOST_BYTES,
    MOST_VERSIONS,
    ConfigHistory,
    ConfigNote,
    ConfigVersion,
)
from pingap.config.storage.replacing import only_writer, replace_files

_NAME: Final = re.compile(r"(\d{13})-[0-9a-f]{12}")
_LONGEST_HEAD: Final = 4096
_FOLDER_MODE: Final = 0o700

T = TypeVar("T")


class FileHistory(ConfigHistory):
    """Versions in a directory.

    :param folder: is created with the first version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def record(self, snapshot: Snapshot, note: ConfigNote) -> None:
        """Add a version; does nothing if the newest one has the same texts."""
        await anyio.to_thread.run_sync(self.record_now, snapshot, note)

    async def versions(self) -> list[ConfigVersion]:
        """Return all versions, oldest first."""
        return await anyio.to_thread.run_sync(self.versions_now)

    async def snapshot(self, name: str) -> Snapshot:
        """Return the texts of a version."""
        return await anyio.to_thread.run_sync(self._snapshot, name)

    def record_now(self, snapshot: Snapshot, note: ConfigNote) -> None:
        """Do what ``record`` does, for processes that must not start threads."""
        self._or_fail(lambda: self._record(snapshot, note.shortened()))

    def versions_now(self) -> list[ConfigVersion]:
        """Do what ``versions`` does, for processes that must not start threads."""
        return self._or_fail(self._versions)

    def _or_fail(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except OSError as error:
            raise StorageError(f"{error.filename or self.folder}: {error.strerror}") from None

    def _record(self, snapshot: Snapshot, note: ConfigNote) -> None:
        self.folder.mkdir(_FOLDER_MODE, exist_ok=True)
        with only_writer(self.folder):
            newest = self._newest()
            if newest is not None and newest.version == snapshot.version:
                return
            texts = json.dumps(snapshot.relative_files()).encode()
            at = time.time()
            if newest is not None:  # the clock may have been set back
                at = max(at, int(newest.name[:13]) / 1000 + 0.001)
            head = {
                "at": at,
                "by": note.by,
                "reason": note.reason,
                "version": snapshot.version,
                "size": len(texts),
            }
            path = self.folder / f"{round(at * 1000):013d}-{snapshot.version[:12]}"
            replace_files({path: json.dumps(head).encode() + b"\n" + texts + b"\n"}, lambda: None)
            self._give_to_owner(path)
            self._forget_oldest()

    def _give_to_owner(self, path: Path) -> None:
        """Root may record a version for the user that pingap runs as."""
        owner = self.folder.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.chown(path, owner.st_uid, owner.st_gid)

    def _forget_oldest(self) -> None:
        paths = self._paths()
        total = 0
        for count, path in enumerate(reversed(paths)):
            total += path.stat().st_size
            if count and (count >= MOST_VERSIONS or total > MOST_BYTES):
                path.unlink()

    def _paths(self) -> list[Path]:
        try:
            return sorted(one for one in self.folder.iterdir() if _NAME.fullmatch(one.name))
        except FileNotFoundError:
            return []

    def _newest(self) -> ConfigVersion | None:
        for path in reversed(self._paths()):
            if (found := _head_of(path)) is not None:
                return found
        return None

    def _versions(self) -> list[ConfigVersion]:
        found = map(_head_of, self._paths())
        return [one for one in found if one is not None]

    def _snapshot(self, name: str) -> Snapshot:
        if not _NAME.fullmatch(name):
            raise StorageError(f"there is no version {quoted(name)}")
        try:
            _, _, texts = (self.folder / name).read_bytes().partition(b"\n")
            return Snapshot(files=tuple((one, text) for one, text in json.loads(texts)))
        except FileNotFoundError:
            raise StorageError(f"there is no version {quoted(name)}") from None
        except OSError as error:
            raise StorageError(f"{self.folder / name}: {error.strerror}") from None
        except (ValueError, TypeError):
            raise StorageError(f"{self.folder / name} is damaged") from None


def _head_of(path: Path) -> ConfigVersion | None:
    """Return what is known about a version; None if its file is damaged, or was removed meanwhile."""
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        with path.open("rb") as file:
            head: dict[str, Any] = json.loads(file.readline(_LONGEST_HEAD))
        note = ConfigNote(str(head["by"]), str(head["reason"]))
        at, size = float(head["at"]), int(head["size"])
        return ConfigVersion(path.name, at, note, str(head["version"]), size)
    return None
