"""What diskcache writes and reads for us: plain bytes. Nothing is ever pickled or unpickled.

(diskcache pickles by default, and unpickles whatever a row says is a pickle: whoever may write in the
folder could run code in the proxy.)
"""

from __future__ import annotations

import re
import secrets
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import diskcache  # type: ignore[import-untyped]

from pingap_cache.stores.record import CorruptRecord

_RAW: Final = 1  # diskcache's mode of values that are in the row, as they are
_NAME: Final = re.compile(r"(?:[0-9a-f]{1,3}/){0,2}[0-9a-f]{1,32}\.body")


@dataclass(frozen=True, slots=True)
class Row:
    """The value of an entry.

    :param filename: of the body, below the folder, if it is in a file.
    :param size: bytes of that file.
    """

    value: bytes
    filename: str | None = None
    size: int = 0


class RawDisk(diskcache.Disk):  # type: ignore[misc]  # (diskcache has no types)
    """Turns keys and rows into columns, and back."""

    def put(self, key: Any) -> tuple[memoryview, bool]:
        """Return the column of a key.

        :raises TypeError: it is not bytes.
        """
        if type(key) is not bytes:
            raise TypeError(f"a key is bytes, not {type(key).__name__}")
        return sqlite3.Binary(key), True

    def get(self, key: Any, raw: Any) -> bytes:
        """Return the key of a column.

        :raises CorruptRecord: it was not written by ``put``.
        """
        if raw != 1 or type(key) is not bytes:
            raise CorruptRecord("its key is not bytes")
        return key

    def store(
        self, value: Any, read: bool, key: Any = None
    ) -> tuple[int, int, str | None, memoryview]:
        """Return the columns of a row; a file was written before.

        :raises TypeError: it is not a ``Row``.
        """
        if read or type(value) is not Row:
            raise TypeError(f"a value is a Row, not {type(value).__name__}")
        return value.size, _RAW, value.filename, sqlite3.Binary(value.value)

    def fetch(self, mode: Any, filename: Any, value: Any, read: bool) -> Row:
        """Return the row of columns.

        :raises CorruptRecord: they were not written by ``store``.
        """
        if read or mode != _RAW or type(value) is not bytes:
            raise CorruptRecord("its value is not bytes")
        if filename is not None and not is_filename(filename):
            raise CorruptRecord("the name of its file is none")
        return Row(value, filename)

    def remove(self, file_path: Any) -> None:
        """Remove a file, if it is there; nothing but one of ours, whatever a damaged row names."""
        if is_filename(file_path):
            with suppress(OSError):
                Path(self._directory, file_path).unlink()


def is_filename(name: object) -> bool:
    """Return whether something is a name that ``new_filename`` can have made."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def new_filename(levels: tuple[int, ...]) -> str:
    """Return a name for a file, below folders whose names have so many digits."""
    digits = secrets.token_hex(16)
    folders = []
    for length in levels:
        folders.append(digits[:length])
        digits = digits[length:]
    return "/".join((*folders, f"{digits}.body"))
