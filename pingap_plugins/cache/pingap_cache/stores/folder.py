"""The folder of a disk store as its threads see it: opened when it is needed, and again when it must be.

Nothing here raises because of the disk: work that fails is counted, said once, and has its default as
result.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import diskcache  # type: ignore[import-untyped]
from diskcache.core import DBNAME  # type: ignore[import-untyped]

from pingap_cache.stores.body_files import has_size, remove_orphan, stored_names
from pingap_cache.stores.changes import Changes
from pingap_cache.stores.database import (
    Database,
    Found,
    is_damage,
    is_damaged_row,
    is_read_only_by_damage,
)
from pingap_cache.stores.record import CorruptRecord
from pingap_cache.stores.trouble import Trouble

RETRY_SECONDS: Final = 1.0
"""A folder that cannot be opened is tried again after this time."""

_SUFFIXES: Final = ("", "-wal", "-shm", "-journal")
_FAILURES: Final = (
    sqlite3.Error,
    diskcache.Timeout,
    OSError,
    CorruptRecord,
    ValueError,
    TypeError,
    LookupError,
)
T = TypeVar("T")


class Unusable(Exception):
    """The folder could not be opened just now; that has been said."""


class Folder:
    """A folder.

    :param path: made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble = Trouble(str(path))
        self.changes: Changes | None = None
        """What other processes have changed; None if the folder is not open."""
        self.scan_due = True
        """Whether there may be files that belong to nobody."""
        self._database: Database | None = None
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._retry_at = 0.0
        self._must_empty = False

    def use(self, work: Callable[[Database], T], default: T, *, or_empty: bool = False) -> T:
        """Return what some work with the database returns; the default if it fails.

        :param or_empty: remove everything if the work fails. For removals: what was purged must not be
            served again, and to delete files needs no room on a full disk.
        """
        database = None
        try:
            database = self._current()
            return work(database)
        except Unusable:
            self._must_empty |= or_empty
        except _FAILURES as error:
            self._after(error, database)
            if or_empty:
                self._empty()
        return default

    def look_up(self, key: bytes) -> Found | None:
        """Return an entry, as ``Database.find`` does; a damaged one is removed."""

        def find(database: Database) -> Found | None:
            try:
                return self._find(database, key)
            except Exception as error:
                if not is_damaged_row(error):
                    raise
                self.trouble.found_corrupt(str(error))
                database.drop(key)
                self.tell([key])
                self.scan_due = True
                return None

        return self.use(find, None)

    def tell(self, keys: Iterable[bytes]) -> None:
        """Tell all processes that entries have changed."""
        if (changes := self.changes) is not None:
            try:
                changes.tell(keys)
            except OSError as error:
                self.trouble.failed(_text(error))
            except ValueError:  # closed just now, by another thread: the store comes to its end
                pass

    def close_mine(self) -> None:
        """Close the connection of this thread."""
        database = getattr(self._mine, "database", None)
        self._mine.database = None
        if database is not None:
            database.close()

    def close(self) -> None:
        """Close what all threads share."""
        with self._lock:
            self._database = None
            if self.changes is not None:
                self.changes.close()
                self.changes = None

    def remove_orphans(self) -> int:
        """Remove files that nobody writes and no row names; return how many."""
        removed = 0
        for names in stored_names(self.path):
            for name in names:
                kept = partial(self.use, partial(Database.names_file, name=name), True)
                if not kept():
                    removed += remove_orphan(self.path / name, kept)
        return removed

    @contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Keep other processes from doing the same meanwhile; yield whether they are not at it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.path / name, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
        finally:
            os.close(descriptor)

    # The database

    def _find(self, database: Database, key: bytes) -> Found | None:
        found = database.find(key)
        if found is None or found.filename is None:
            return found
        if has_size(self.path / found.filename, found.record.size):
            return found
        again = database.find(key)
        if again is None or again.filename != found.filename:
            return None  # it was replaced or evicted just now
        raise CorruptRecord("its file is gone, or has another length")

    def _current(self) -> Database:
        """Return the database of the folder that is there now, for use in this thread."""
        with self._lock:
            if self._must_empty:
                self._database = None
            elif self._database is not None and not self._database.is_current():
                self.trouble.warn("it was removed or replaced, and is opened again")
                self._database = None
            if getattr(self._mine, "database", None) is not self._database:
                self.close_mine()  # first: files that were removed take room while they are open
            # (Not "or": the truth of a Cache is its length, a query that fails if the database is damaged.)
            database = self._opened() if self._database is None else self._database
        self._mine.database = database
        return database

    def _opened(self) -> Database:
        if time.monotonic() < self._retry_at:
            raise Unusable
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._opening():
            if self._must_empty:
                self._remove_database()
                self._must_empty = False
            database = Database(self.path)
            database.close()  # of this thread; opened again when it is used
            changes = Changes(self.path / "changes")
        if self.changes is not None:
            self.changes.close()
        self.changes = changes
        self._database = database
        self._retry_at = 0.0
        self.scan_due = True
        return database

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """Let one process at a time make or replace the database."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.path / "lock", flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                yield
            except (
                sqlite3.DatabaseError,
                LookupError,
                ValueError,
                TypeError,
                AttributeError,
            ) as error:
                if isinstance(error, sqlite3.DatabaseError) and not self._is_damage(error):
                    raise
                self.trouble.found_corrupt("the database; it begins empty")
                self._remove_database()
                raise sqlite3.DatabaseError(f"its database was damaged: {error}") from error
        finally:
            os.close(descriptor)

    def _after(self, error: Exception, database: Database | None) -> None:
        """Count a failure, and see to it that the next call has a chance."""
        with suppress(sqlite3.Error):
            self.close_mine()  # it may be in the middle of a transaction
        if database is not None and self._is_damage(error):
            with self._lock, suppress(OSError), self._opening():
                if database.is_current():
                    self.trouble.found_corrupt("the database; it begins empty")
                    self._remove_database()
                self._database = None
        elif "no such table" in str(error):
            with self._lock:
                self._database = None
        self.trouble.failed(_text(error))

    def _is_damage(self, error: Exception) -> bool:
        return is_damage(error) or is_read_only_by_damage(error, self.path)

    def _empty(self) -> None:
        """Remove everything; if that fails now, before the folder is used again."""
        text = "what should be removed could not be found, so everything is removed"
        self.trouble.warn(text, kind="emptied")
        with self._lock:
            self._must_empty = True
            self._database = None
            self._retry_at = 0.0
            try:
                self._opened()
            except _FAILURES as error:
                self.trouble.failed(_text(error))

    def _remove_database(self) -> None:
        """Remove the database and all files, but for those that are being written."""
        for suffix in _SUFFIXES:
            Path(f"{self.path / DBNAME}{suffix}").unlink(missing_ok=True)
        self._retry_at = 0.0
        if self.changes is not None:
            self.changes.tell_all()
        for names in stored_names(self.path):
            for name in names:
                remove_orphan(self.path / name, lambda: False)


def _text(error: Exception) -> str:
    if isinstance(error, diskcache.Timeout):
        return "another process keeps the database locked"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
