"""The database of a folder: what diskcache does, and what it does not.

All of it blocks. Each thread that uses it has a connection of its own, which it must close.
"""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import diskcache  # type: ignore[import-untyped]
from diskcache.core import DBNAME  # type: ignore[import-untyped]

from pingap_cache.stores import schema
from pingap_cache.stores.interface import Labels, Listed
from pingap_cache.stores.purges import Purge
from pingap_cache.stores.raw_disk import RawDisk, Row
from pingap_cache.stores.record import STAMP_IN_RECORD, CorruptRecord, Record, decode, stamp_bytes
from pingap_cache.stores.schema import after, decoded, encoded

BUSY_SECONDS: Final = 5.0
"""How long a call waits for another process that writes."""
PURGES_KEPT: Final = 1800.0
"""Purges are held for so long against entries that were being written; after that, these are not stored."""
BATCH: Final = 200
"""Rows of one transaction. Other processes can write between two of them."""

_DAMAGES: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CONSTRAINT", "SQLITE_MISMATCH")
_NEWEST_FORMAT: Final = 2  # a log of changes (https://www.sqlite.org/fileformat.html, 1.3.3)

_SETTINGS: Final = {
    "eviction_policy": "least-recently-stored",
    "size_limit": 2**62,  # eviction is ours, in batches
    "cull_limit": 0,
    "statistics": 0,
    "tag_index": 0,
    "sqlite_cache_size": 1024,  # pages of a connection: 4 MiB
    "sqlite_mmap_size": 0,  # a database that is cut short would kill the process
    "sqlite_synchronous": 1,
}


@dataclass(frozen=True, slots=True)
class Found:
    """An entry in the database.

    :param filename: of its body, if it is in a file.
    :param until: when it is removed; seconds since 1970.
    """

    record: Record
    filename: str | None
    until: float
    stale: bool


class Database(diskcache.Cache):  # type: ignore[misc]  # (diskcache has no types)
    """A folder with entries.

    :param folder: is made if it is not there.
    :raises sqlite3.Error, OSError, diskcache.Timeout: it cannot be used; so do all methods.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder), timeout=BUSY_SECONDS, disk=RawDisk, **_SETTINGS)
        for statement in schema.TABLES:
            self._sql_retry(statement)
        self._file = str(folder / DBNAME)
        self._inode = os.stat(self._file).st_ino  # noqa: PTH116  (a Path takes longer)

    def is_current(self) -> bool:
        """Return whether the file that is open is still the one in the folder."""
        try:
            return os.stat(self._file).st_ino == self._inode  # noqa: PTH116
        except FileNotFoundError:
            return False

    # One entry

    def find(self, key: bytes) -> Found | None:
        """Return an entry.

        :raises CorruptRecord: it is damaged.
        """
        row, until, stale = self.get(key, expire_time=True, tag=True)
        if row is None:
            return None
        record = decode(key, row.value, in_file=row.filename is not None)
        until = math.inf if until is None else float(until)
        return Found(record, row.filename, until, stale is not None)

    def is_newest(self, key: bytes, stamp: int) -> bool:
        """Return whether an entry is what is stored, and not stale."""
        query = f"SELECT {STAMP_IN_RECORD} FROM Cache WHERE key = ? AND raw = 1 AND tag IS NULL"  # noqa: S608
        row = self._sql(query, (key,)).fetchone()
        return row is not None and row[0] == stamp_bytes(stamp)

    def keep(
        self,
        key: bytes,
        record: Record,
        filename: str | None,
        keep: float,
        labels: Labels,
        began: float,
    ) -> bool:
        """Store an entry, unless it was purged since ``began`` (seconds since 1970)."""
        with self.transact():
            verdict = self._verdict(began, key, labels)
            if verdict is not None and not verdict.soft:
                return False
            row = Row(record.encode(key), filename, record.size if filename else 0)
            expire = None if keep == math.inf else keep
            self.set(key, row, expire=expire, tag=schema.STALE if verdict else None)
            entry = self._rowid(key)
            self._sql("DELETE FROM Tag WHERE entry = ?", (entry,))
            self._sql(
                "REPLACE INTO Label VALUES (?, ?, ?, ?)",
                (entry, encoded(labels.namespace), encoded(labels.url), record.size),
            )
            for tag in set(labels.tags):
                self._sql("INSERT INTO Tag VALUES (?, ?)", (encoded(tag), entry))
        return True

    def replace_head(self, key: bytes, stamp: int, head: bytes, keep: float) -> bool:
        """Give an entry another head, if it has this stamp; it counts as stored just now."""
        with self.transact():
            found = self.find(key)
            if found is None or found.record.stamp != stamp:
                return False
            now = time.time()
            value = replace(found.record, head=head).encode(key)
            until = None if keep == math.inf else now + keep
            self._sql(
                "UPDATE Cache SET value = ?, expire_time = ?, store_time = ?, access_time = ?,"
                " tag = NULL WHERE rowid = ?",
                (value, until, now, now, self._rowid(key)),
            )
        return True

    def remove(self, key: bytes) -> bool:
        """Remove an entry, and remember that it was removed."""
        with self.transact():
            self.remember(Purge(key))
            return bool(self.delete(key))

    def drop(self, key: bytes) -> None:
        """Remove an entry without looking at its row, which may be damaged; a file becomes an orphan."""
        with self.transact():
            self._sql("DELETE FROM Cache WHERE key = ? AND raw = 1", (key,))

    def _rowid(self, key: bytes) -> int:
        ((entry,),) = self._sql("SELECT rowid FROM Cache WHERE key = ? AND raw = 1", (key,))
        return cast("int", entry)

    # Purges

    def remember(self, purge: Purge) -> float:
        """Remember a purge; return its time."""
        now = time.time()
        texts = (purge.prefix, purge.namespace, purge.tag)
        values = (None if text is None else encoded(text) for text in texts)
        row = (now, purge.key, *values, purge.soft)
        with self.transact():
            self._sql("INSERT INTO Purge VALUES (?, ?, ?, ?, ?, ?)", row)
        return now

    def _verdict(self, began: float, key: bytes, labels: Labels) -> Purge | None:
        """Return the hardest purge since a time that means an entry."""
        if began < time.time() - PURGES_KEPT:
            return Purge()
        found = None
        rows = self._sql(
            "SELECT key, prefix, namespace, tag, soft FROM Purge WHERE at >= ?", (began,)
        )
        for of_key, prefix, namespace, tag, soft in rows:
            purge = Purge(
                of_key,
                decoded(prefix),
                None if namespace is None else decoded(namespace),
                None if tag is None else decoded(tag),
                bool(soft),
            )
            if purge.matches(key, labels) and (found is None or found.soft):
                found = purge
        return found

    def namespaces(self) -> list[bytes]:
        """Return all namespaces; a look-up in the index for each, not for each entry."""
        found: list[bytes] = []
        ((name,),) = self._sql(schema.FIRST_NAMESPACE)
        while name is not None:
            found.append(name)
            ((name,),) = self._sql(schema.NEXT_NAMESPACE, (name,))
        return found

    def purge_some(
        self, purge: Purge, query: str, where: dict[str, Any], until: float
    ) -> tuple[int, list[bytes]]:
        """Remove or mark a batch of entries that were stored up to a time.

        :param where: parameters of the query, which are moved on.
        :returns: how many entries of use there were, and all keys; no keys at the end.
        """
        with self.transact():
            rows = self._sql(query, {**where, "limit": BATCH}).fetchall()
            if not rows:
                return 0, []
            where["entry"], where["url"] = rows[-1][0], rows[-1][3]
            entries = ",".join(str(int(row[0])) for row in rows)
            old = f"rowid IN ({entries}) AND store_time <= {until!r}"
            ((count,),) = self._sql(
                f"SELECT count(*) FROM Cache WHERE {old}"  # noqa: S608  (numbers only)
                " AND (expire_time IS NULL OR expire_time > ?)",
                (time.time(),),
            )
            gone = [] if purge.soft else self._delete(old, ())
            if purge.soft:
                self._sql(f"UPDATE Cache SET tag = {schema.STALE} WHERE {old}")  # noqa: S608
        self._remove_files(gone)
        return count, [row[2] for row in rows]

    # Many entries

    def listed(self, prefix: str, namespace: str | None, limit: int) -> list[Listed]:
        """List entries, at most so many."""
        first = encoded(prefix)
        names = self.namespaces() if namespace is None else [encoded(namespace)]
        found: list[Listed] = []
        for name in names:
            parameters = {"namespace": name, "first": first, "last": after(first)}
            rows = self._sql(
                schema.LISTED, {**parameters, "now": time.time(), "limit": limit - len(found)}
            )
            for key, url, where, size, stored, until, stale in rows:
                kept_until = math.inf if until is None else until
                labels = (decoded(url), decoded(where))
                found.append(Listed(key, *labels, size, stored, kept_until, stale is not None))
        return found

    def remove_some(
        self, condition: str, parameters: tuple[Any, ...] = (), limit: int = BATCH
    ) -> list[bytes]:
        """Remove a batch of entries; return their keys."""
        with self.transact():
            chosen = f"rowid IN (SELECT rowid FROM Cache {condition} LIMIT {limit})"  # noqa: S608
            gone = self._delete(chosen, parameters)
        self._remove_files(gone)
        return [row[2] for row in gone]

    def _delete(
        self, condition: str, parameters: tuple[Any, ...]
    ) -> list[tuple[int, str | None, bytes]]:
        query = f"SELECT rowid, filename, key FROM Cache WHERE {condition}"  # noqa: S608
        rows = self._sql(query, parameters).fetchall()
        entries = ",".join(str(int(row[0])) for row in rows)
        self._sql(f"DELETE FROM Cache WHERE rowid IN ({entries})")  # noqa: S608
        return cast("list[tuple[int, str | None, bytes]]", rows)

    def _remove_files(self, rows: Iterable[tuple[int, str | None, bytes]]) -> None:
        for _, name, _ in rows:
            if name is not None:
                self.disk.remove(name)

    def touch_some(self, keys: Iterable[bytes]) -> None:
        """Note that entries were asked for just now."""
        now = time.time()
        with self.transact():
            for key in keys:
                self._sql("UPDATE Cache SET access_time = ? WHERE key = ? AND raw = 1", (now, key))

    def forget_purges(self) -> None:
        """Forget purges that are so old that they mean nothing any more."""
        with self.transact():
            self._sql("DELETE FROM Purge WHERE at < ?", (time.time() - PURGES_KEPT,))

    def names_file(self, name: str) -> bool:
        """Return whether a row names a file."""
        query = "SELECT 1 FROM Cache WHERE filename = ?"
        return self._sql(query, (name,)).fetchone() is not None


def is_damage(error: Exception) -> bool:
    """Return whether an error says that the database itself is damaged.

    Our statements are right and keep all constraints, so what is wrong about them is the database; but a
    missing table is made when it is opened again.
    """
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_ERROR":
        return "no such table" not in str(error)
    return name.startswith(_DAMAGES)


def is_read_only_by_damage(error: Exception, folder: Path) -> bool:
    """Return whether a database says that it may not be written to, though nothing forbids that.

    SQLite does not write to a file whose header names a newer version of its format.
    """
    if getattr(error, "sqlite_errorname", "") != "SQLITE_READONLY":
        return False
    with suppress(OSError), (folder / DBNAME).open("rb") as file:
        return any(version > _NEWEST_FORMAT for version in file.read(20)[18:])
    return False


def is_damaged_row(error: Exception) -> bool:
    """Return whether an error was met in Python, in what a row holds."""
    in_python = isinstance(error, sqlite3.Error) and not hasattr(error, "sqlite_errorcode")
    return in_python or isinstance(error, CorruptRecord | ValueError | TypeError | OverflowError)
