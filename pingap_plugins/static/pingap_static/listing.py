"""What a directory contains, sorted. It waits for the file system, so it runs in threads."""

from __future__ import annotations

import heapq
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, Literal, get_args

from pingap import Request
from pingap_static.files import OpenFile

PAGE: Final = 1000
"""Entries on a page of HTML."""
_CHUNK: Final = 500
"""Entries that are sorted at a time. Sorting keeps the GIL, so nothing else makes progress meanwhile."""
_NUMBER: Final = re.compile(r"([0-9]{1,18})")

Order = Literal["name", "size", "modified"]
ORDERS: Final[tuple[Order, ...]] = get_args(Order)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client wants to see.

    :param page: counted from 1.
    """

    order: Order = "name"
    descending: bool = False
    page: int = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or directory in a directory.

    :param size: bytes; 0 for directories.
    :param modified: seconds since the epoch.
    """

    name: bytes
    is_folder: bool
    size: int
    modified: float


def wish_of(request: Request) -> Wish:
    """Read ``?sort=size&order=desc&page=2``; what is unknown means the default."""
    asked = request.query_params
    order: Order = next((one for one in ORDERS if one == asked.get("sort")), "name")
    page = asked.get("page", "1")
    number = int(page) if page.isascii() and page.isdigit() and len(page) < 9 else 1
    return Wish(order, asked.get("order") == "desc", max(1, number))


class Listing:
    """The entries of a directory.

    :param folder: the directory; it must stay open.
    :param shown: whether an entry is shown.
    :raises OSError: it cannot be read.
    """

    def __init__(self, folder: OpenFile, shown: Callable[[os.DirEntry[str]], bool]) -> None:
        with os.scandir(folder.descriptor) as entries:
            self._found = [entry for entry in entries if shown(entry)]

    def __len__(self) -> int:
        return len(self._found)

    def sorted(self, wish: Wish) -> Iterator[Entry]:
        """Return all entries: directories first, equal ones by name, numbers in names by their value."""
        folders = [entry for entry in self._found if _is_folder(entry)]
        files = [entry for entry in self._found if not _is_folder(entry)]
        return map(_entry, chain(_sorted(folders, wish), _sorted(files, wish)))

    def page(self, wish: Wish) -> list[Entry]:
        """Return the entries of one page; only these are looked at, if they are sorted by name."""
        first = (wish.page - 1) * PAGE
        return list(islice(self.sorted(wish), first, first + PAGE))


def _sorted(entries: list[os.DirEntry[str]], wish: Wish) -> Iterator[os.DirEntry[str]]:
    """Sort in pieces, and merge them while they are read."""
    key = _KEYS[wish.order]
    chunks = [
        sorted(entries[start : start + _CHUNK], key=key, reverse=wish.descending)
        for start in range(0, len(entries), _CHUNK)
    ]
    return heapq.merge(*chunks, key=key, reverse=wish.descending)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _metadata(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat()
    except OSError:  # removed by now, or a link to nowhere
        return None


def _by_name(entry: os.DirEntry[str]) -> tuple[object, ...]:
    parts: Iterable[str] = _NUMBER.split(entry.name.casefold())
    return (
        [(int(part), "") if part.isdigit() and part.isascii() else (-1, part) for part in parts],
        entry.name,
    )


def _by_size(entry: os.DirEntry[str]) -> tuple[object, ...]:
    found = _metadata(entry)
    return (found.st_size if found else 0, entry.name)


def _by_time(entry: os.DirEntry[str]) -> tuple[object, ...]:
    found = _metadata(entry)
    return (found.st_mtime if found else 0.0, entry.name)


_KEYS: Final = {"name": _by_name, "size": _by_size, "modified": _by_time}


def _entry(entry: os.DirEntry[str]) -> Entry:
    found = _metadata(entry)
    is_folder = found is not None and stat.S_ISDIR(found.st_mode)
    size = 0 if found is None or is_folder else found.st_size
    return Entry(os.fsencode(entry.name), is_folder, size, found.st_mtime if found else 0.0)
