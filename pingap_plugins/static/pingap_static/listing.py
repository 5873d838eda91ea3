"""What a directory contains, sorted. It waits for the file system, so it runs in threads."""

from __future__ import annotations

import heapq
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final, Literal, TypeVar, get_args

from pingap import Request
from pingap_static.files import OpenFile

PAGE: Final = 1000
"""Entries on a page of HTML."""
_CHUNK: Final = 500
"""Entries that are sorted at a time. Sorting keeps the GIL, so nothing else makes progress meanwhile."""
_AT_ONCE: Final = 100
_REST_SECONDS: Final = 0.0005
"""After so many entries, others may run for so long."""
_NUMBER: Final = re.compile(r"[0-9]{1,18}")

T = TypeVar("T")

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
    """The entries of a directory, which can be read once.

    :param folder: the directory; it must stay open.
    :param shown: whether an entry is shown.
    :raises OSError: it cannot be read.
    """

    def __init__(self, folder: OpenFile, shown: Callable[[os.DirEntry[str]], bool]) -> None:
        self._folders: list[os.DirEntry[str]] = []
        self._files: list[os.DirEntry[str]] = []
        with os.scandir(folder.descriptor) as entries:
            for entry in resting(entries):
                if shown(entry):
                    (self._folders if _is_folder(entry) else self._files).append(entry)
        self._size = len(self._folders) + len(self._files)

    def __len__(self) -> int:
        return self._size

    def sorted(self, wish: Wish) -> Iterator[Entry]:
        """Return all entries: directories first, equal ones by name, numbers in names by their value."""
        return map(_entry, chain(_sorted(self._folders, wish), _sorted(self._files, wish)))

    def page(self, wish: Wish) -> list[Entry]:
        """Return the entries of one page; only these are looked at, if they are sorted by name."""
        first = (wish.page - 1) * PAGE
        return list(islice(self.sorted(wish), first, first + PAGE))


def resting(items: Iterable[T]) -> Iterator[T]:
    """Yield the same, and let other threads run in between: the event loop waits for each of them."""
    for place, item in enumerate(items, 1):
        if not place % _AT_ONCE:
            time.sleep(_REST_SECONDS)
        yield item


def _sorted(entries: list[os.DirEntry[str]], wish: Wish) -> Iterator[os.DirEntry[str]]:
    """Sort in pieces, and merge them while they are read.

    The list is emptied: to free all entries at once, with their metadata, would take long, too.
    """
    key = _KEYS[wish.order]
    by_key: dict[Any, os.DirEntry[str]] = {}
    for _ in resting(range(len(entries))):
        entry = entries.pop()
        by_key[key(entry)] = entry
    keys = list(by_key)
    chunks = [
        sorted(keys[start : start + _CHUNK], reverse=wish.descending)
        for start in resting(range(0, len(keys), _CHUNK))
    ]
    try:
        for one in heapq.merge(*chunks, reverse=wish.descending):
            yield by_key.pop(one)
    finally:
        for _ in resting(range(len(by_key))):
            by_key.popitem()


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


def _by_name(entry: os.DirEntry[str]) -> str:
    """Return the name with its numbers at full length, as one string: tuples and lists are work for the collector.

    A NUL, which no name has, ends each piece of text, so that a shorter one comes first.
    """
    return f"{_NUMBER.sub(_padded, entry.name.casefold())}\0\0{entry.name}"


def _padded(number: re.Match[str]) -> str:
    return f"\0{number[0]:0>18}"


def _by_size(entry: os.DirEntry[str]) -> tuple[int, str]:
    found = _metadata(entry)
    return (found.st_size if found else 0, entry.name)


def _by_time(entry: os.DirEntry[str]) -> tuple[float, str]:
    found = _metadata(entry)
    return (found.st_mtime if found else 0.0, entry.name)


_KEYS: Final[dict[Order, Callable[[os.DirEntry[str]], Any]]] = {
    "name": _by_name,
    "size": _by_size,
    "modified": _by_time,
}


def _entry(entry: os.DirEntry[str]) -> Entry:
    found = _metadata(entry)
    is_folder = found is not None and stat.S_ISDIR(found.st_mode)
    size = 0 if found is None or is_folder else found.st_size
    return Entry(os.fsencode(entry.name), is_folder, size, found.st_mtime if found else 0.0)
