"""A small store that survives restarts, in a file that all workers share.

It is a table of keys and bytes in SQLite, which is part of the standard library, used in a thread.
SQLite locks between processes and survives a crash at any point, and reading never executes
anything, as unpickling would. If the file is removed or replaced, each process that has it open
notices this and opens the current one; otherwise its entries would be shared with no other process,
and be lost. ``diskcache`` uses SQLite, too, but it unpickles by default and removes entries when it
is full; entries here, such as the key of an ACME account, must not disappear.
"""

from __future__ import annotations

import logging
import math
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from pingap.plugins.state_directory import state_directory
from pingap.plugins.worker_threads import in_thread

if TYPE_CHECKING:
    import sqlite3

log = logging.getLogger("pingap")

LARGEST_STORE: Final = 64 * 1024 * 1024
LONGEST_KEY: Final = 512
WAIT_SECONDS: Final = 5.0
"""How long a call waits for another process that is writing."""

_PAGE: Final = 4096
_FEWEST_PAGES: Final = 8
_JOURNAL: Final = 4 * 1024 * 1024
_BUSY_PAUSE: Final = 0.01
_CLEANING_SECONDS: Final = 60.0
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL, expires REAL)"
    " WITHOUT ROWID"
)
_abandoned: Final[list[sqlite3.Connection]] = []
"""Connections to removed files, never closed: that would remove the ``-wal`` of a new file."""

T = TypeVar("T")


class StoreError(Exception):
    """The durable store cannot be used, or is full. The message names the file and the reason."""


class DurableStore:
    """Bytes by key, in a file: ``worker.store``.

    Entries survive restarts and upgrades, and all workers share them. An entry is on disk when ``set``
    returns. Intended for small values that rarely change: accounts, tokens, the state of long tasks. Begin
    keys with the name of your distribution. The file is created when a plugin first uses the store; it is
    read and written in a thread.

    :param directory: its directory; by default below pingap's state directory.
    :param limit: maximum size of the file in bytes.
    """

    def __init__(self, directory: Path | None = None, *, limit: int = LARGEST_STORE) -> None:
        self._directory = directory
        self._limit = limit
        self._database: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        """Identifies the open file."""
        self._mutex = threading.Lock()  # (a call whose caller was cancelled may still run)
        self._limiter: anyio.CapacityLimiter | None = None
        self._cleaned = -math.inf

    @property
    def directory(self) -> Path:
        """The directory of the file; it may not exist yet.

        ``DurableStore().directory`` is that of pingap. A distribution may keep other files there, named after itself. If the directory does not
        exist, create it with mode 0700.

        .. versionadded:: 1.1
        """
        return self._directory or state_directory() / "store"

    async def get(self, key: str) -> bytes | None:
        """Return the value of a key; None if it does not exist or has expired.

        :raises StoreError: the store cannot be used.
        """
        query = "SELECT value FROM entries WHERE key = ? AND (expires IS NULL OR expires > ?)"
        name = _encoded(key)

        def read(database: sqlite3.Connection) -> bytes | None:
            row = database.execute(query, (name, time.time())).fetchone()
            return None if row is None else bytes(row[0])

        return await self._run(read)

    async def set(self, key: str, value: bytes, *, seconds: float | None = None) -> None:
        """Set the value of a key.

        :param key: 1 to 512 bytes of UTF-8.
        :param seconds: time until it expires; None: it never does.
        :raises TypeError: the value is not bytes.
        :raises ValueError: the key is empty or too long, or ``seconds`` is not a positive number.
        :raises StoreError: the store cannot be used, or is full.
        """
        if not isinstance(value, bytes):
            raise TypeError(f"the store keeps bytes, not {type(value).__name__}")
        if seconds is not None and not 0 < seconds < math.inf:
            raise ValueError(f"an expiry of {seconds} s; expected a positive number")
        name = _encoded(key)
        if not 0 < len(name) <= LONGEST_KEY:
            raise ValueError(f"a key has 1 to {LONGEST_KEY} bytes, not {len(name)}")

        def write(database: sqlite3.Connection) -> None:
            now = time.time()
            self._clean(database, now)
            end = None if seconds is None else now + seconds
            database.execute("REPLACE INTO entries VALUES (?, ?, ?)", (name, value, end))

        await self._run(write)

    async def delete(self, key: str) -> None:
        """Remove a key if it exists.

        :raises StoreError: the store cannot be used.
        """
        name = _encoded(key)

        def remove(database: sqlite3.Connection) -> None:
            database.execute("DELETE FROM entries WHERE key = ?", (name,))

        await self._run(remove)

    async def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that begin with a prefix, sorted.

        :raises StoreError: the store cannot be used.
        """
        first = _encoded(prefix)
        # UTF-8 never contains the byte 0xFF, so this sorts after all keys that begin with the prefix.
        last = first + b"\xff"
        query = (
            "SELECT key FROM entries WHERE key >= ? AND key < ?"
            " AND (expires IS NULL OR expires > ?) ORDER BY key"
        )

        def read(database: sqlite3.Connection) -> list[str]:
            rows = database.execute(query, (first, last, time.time()))
            return [bytes(row[0]).decode("utf-8", "surrogatepass") for row in rows]

        return await self._run(read)

    def close(self) -> None:
        """Close the file; pingap calls this when the worker ends."""
        with self._mutex:
            if self._database is not None:
                self._look(self._path())
            if self._database is not None:
                self._database.close()
                self._database = None

    # In the thread.

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(1)
        return await in_thread(self._limiter, lambda: self._work(work))

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        import sqlite3  # 1 MB that a worker without such plugins does not need

        path = self._path()
        with self._mutex:
            try:
                if self._database is not None:
                    self._look(path)
                if self._database is None:
                    make_private_directory(path.parent)
                    self._database = self._open(path)
                    self._file = _identity(path)
                return work(self._database)
            except sqlite3.Error as error:
                raise StoreError(f"{path}: {_reason(error, self._limit)}") from error
            except OSError as error:
                text = f"{path}: the plugin store cannot be created: {error.strerror or error}"
                hint = "set PINGAP_STATE_DIR to a directory that pingap may write in"
                raise StoreError(f"{text}; {hint}") from error

    def _look(self, path: Path) -> None:
        """Stop using the open file if its name now belongs to another file, or to none."""
        if self._file == _identity(path) or self._database is None:
            return
        text = (
            "%s was removed or replaced while it was in use: plugins continue with the current one"
        )
        log.warning(text, path)
        _abandoned.append(self._database)
        self._database = None

    def _path(self) -> Path:
        return self.directory / "plugins.sqlite3"

    def _open(self, path: Path) -> sqlite3.Connection:
        import sqlite3

        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        until = time.monotonic() + WAIT_SECONDS
        while True:
            database = sqlite3.connect(
                path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._set_up(database)
            except BaseException as error:
                database.close()
                # While several processes create the file, SQLite does not wait by itself.
                busy = getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY")
                if not busy or time.monotonic() > until:
                    raise
                time.sleep(_BUSY_PAUSE)
            else:
                return database

    def _set_up(self, database: sqlite3.Connection) -> None:
        database.execute(f"PRAGMA max_page_count = {max(_FEWEST_PAGES, self._limit // _PAGE)}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"PRAGMA journal_size_limit = {_JOURNAL}")
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute(_SCHEMA)

    def _clean(self, database: sqlite3.Connection, now: float) -> None:
        """Remove expired entries, from time to time."""
        if self._cleaned + _CLEANING_SECONDS <= now or now < self._cleaned:
            self._cleaned = now
            database.execute("DELETE FROM entries WHERE expires <= ?", (now,))


def make_private_directory(path: Path) -> None:
    """Create a directory that only this user can read, or check the existing one.

    :raises OSError: it cannot be created, or others can use it.
    """
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(None, f"{path} is not a directory") from None
        if found.st_uid != os.geteuid():
            raise PermissionError(None, f"{path} belongs to another user") from None
        if found.st_mode & 0o077:
            raise PermissionError(
                None, f"{path} is open to other users (mode is not 0700)"
            ) from None


def _identity(path: Path) -> tuple[int, int] | None:
    """Return values that distinguish a file from others of the same name; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _encoded(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _reason(error: sqlite3.Error, limit: int) -> str:
    code = getattr(error, "sqlite_errorname", "")
    if code == "SQLITE_FULL":
        return f"the plugin store is full ({limit} bytes, or the disk)"
    if code in ("SQLITE_CORRUPT", "SQLITE_NOTADB"):
        return f"the plugin store is damaged ({error}); remove it to begin with an empty one"
    return f"the plugin store cannot be used: {error}"
