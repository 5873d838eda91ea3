"""The tables beside those of diskcache: by what a purge finds entries, and which purges there were.

diskcache knows one tag of an entry, and we mark with it what a soft purge found. ``Label`` and ``Tag``
belong to rows of its table ``Cache``, and a trigger removes them with these, whoever does it. Texts are
kept as bytes: a URL may be no UTF-8.
"""

from __future__ import annotations

from typing import Final

STALE: Final = 1
"""diskcache's tag of an entry that a soft purge has marked."""

TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS Label"
    " (entry INTEGER PRIMARY KEY, namespace BLOB, url BLOB, size INTEGER)",
    "CREATE INDEX IF NOT EXISTS Label_url ON Label (namespace, url)",
    "CREATE TABLE IF NOT EXISTS Tag"
    " (tag BLOB, entry INTEGER, PRIMARY KEY (tag, entry)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS Tag_entry ON Tag (entry)",
    "CREATE TABLE IF NOT EXISTS Purge"
    " (at REAL, key BLOB, prefix BLOB, namespace BLOB, tag BLOB, soft INTEGER)",
    "CREATE INDEX IF NOT EXISTS Purge_at ON Purge (at)",
    "CREATE INDEX IF NOT EXISTS Cache_access ON Cache (access_time)",
    "CREATE INDEX IF NOT EXISTS Cache_filename ON Cache (filename) WHERE filename IS NOT NULL",
    "CREATE TRIGGER IF NOT EXISTS Label_delete AFTER DELETE ON Cache BEGIN"
    " DELETE FROM Label WHERE entry = OLD.rowid; DELETE FROM Tag WHERE entry = OLD.rowid; END",
)

_ROW: Final = "SELECT Cache.rowid, Cache.filename, Cache.key, Label.url"
_LABELS: Final = " FROM Label JOIN Cache ON Cache.rowid = Label.entry"
_TAGS: Final = (
    " FROM Tag JOIN Label ON Label.entry = Tag.entry JOIN Cache ON Cache.rowid = Tag.entry"
)

# Each continues after the last row of the batch before.
BY_TAG: Final = (
    f"{_ROW}{_TAGS} WHERE Tag.tag = :tag AND Tag.entry > :entry"
    " AND (:namespace IS NULL OR Label.namespace = :namespace)"
    " AND Label.url >= :first AND Label.url < :last ORDER BY Tag.entry LIMIT :limit"
)
BY_URL: Final = (
    f"{_ROW}{_LABELS} WHERE Label.namespace = :namespace AND Label.url < :last"
    " AND (Label.url, Label.entry) > (:url, :entry) ORDER BY Label.url, Label.entry LIMIT :limit"
)
NEXT_NAMESPACE: Final = "SELECT min(namespace) FROM Label WHERE namespace > ?"
FIRST_NAMESPACE: Final = "SELECT min(namespace) FROM Label"
LISTED: Final = (
    "SELECT Cache.key, Label.url, Label.namespace, Label.size, Cache.store_time, Cache.expire_time,"
    f" Cache.tag{_LABELS} WHERE Label.namespace = :namespace AND Label.url >= :first"
    " AND Label.url < :last AND (Cache.expire_time IS NULL OR Cache.expire_time > :now) LIMIT :limit"
)


def encoded(text: str) -> bytes:
    """Return a text as it is kept."""
    return text.encode("utf-8", "surrogatepass")


def decoded(data: object) -> str:
    """Return a text that was kept; of a damaged one, what can be read."""
    if not isinstance(data, bytes):
        return ""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def after(prefix: bytes) -> bytes:
    """Return what is behind everything that begins with a prefix (UTF-8 has no byte 0xFF)."""
    return prefix + b"\xff"
