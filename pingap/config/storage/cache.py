"""The last configuration that was served, for a start without its storage (``--cache``)."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pingap.config.problem import Problem
from pingap.config.snapshot import Snapshot
from pingap.config.storage.errors import StorageError
from pingap.config.storage.replacing import replace_files
from pingap.config.storage_location import scheme_of

MOST_BYTES: Final = 256 << 20
"""Largest copy that is read."""


class SnapshotCache:
    """A copy of a configuration in a directory, in a file that only its owner can read.

    :param directory: created if it is missing.
    :param locations: of the configuration, as given to ``-c``; each combination has its own file. A password
        is not part of the file's name.
    """

    def __init__(self, directory: str, locations: Sequence[str]) -> None:
        digest = hashlib.sha256("\n".join(map(_without_user, locations)).encode()).hexdigest()
        schemes = "+".join(scheme_of(one) or "file" for one in locations)
        self.path = Path(directory) / f"{schemes}-{digest[:16]}.json"

    def save(self, snapshot: Snapshot) -> None:
        """Replace the copy atomically.

        :raises StorageError: it cannot be written.
        """
        content = replace(snapshot, warnings=()).to_bytes()
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.is_symlink() or (self.path.exists() and self._mode() & 0o077):
                self.path.unlink()  # otherwise, the new file would keep its mode
        except OSError as error:
            raise StorageError(f"{self.path.parent}: {error.strerror}") from None
        replace_files({self.path: content}, lambda: None)

    def load(self, reason: str, place: str) -> Snapshot:
        """Return the copy, with a warning.

        :param reason: why the storage cannot be read.
        :param place: the storage, as messages show it.
        :raises StorageError: there is no copy, or another user could have written it.
        """
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(fd, "rb") as file:
                status = os.fstat(fd)
                self._check(status)
                snapshot = Snapshot.from_bytes(file.read(MOST_BYTES))
        except FileNotFoundError:
            raise StorageError(f"there is no copy in {self.path.parent}") from None
        except OSError as error:
            raise StorageError(f"the copy {self.path} cannot be read: {error.strerror}") from None
        except ValueError:
            raise StorageError(f"{self.path} is not a copy of a configuration") from None
        saved = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(" ", "seconds")
        text = f"cannot be read: {reason}; serving the copy of {saved} in {self.path}"
        warning = Problem((), text, place, is_warning=True)
        return replace(snapshot, warnings=(warning,))

    def _mode(self) -> int:
        return stat.S_IMODE(self.path.stat().st_mode)

    def _check(self, status: os.stat_result) -> None:
        """Reject a file that could make this process run the configuration of another user."""
        others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not stat.S_ISREG(status.st_mode) or others or status.st_uid not in (0, os.geteuid()):
            raise StorageError(f"the copy {self.path} is not used: other users could change it")


def _without_user(location: str) -> str:
    scheme, found, rest = location.partition("://")
    return rest.partition("?")[0].rpartition("@")[2] if found else scheme
