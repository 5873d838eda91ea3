"""Creates IDs: UUID version 7 and nanoid.

Random numbers come from the operating system, so IDs do not repeat in other processes or after a fork.
"""

from __future__ import annotations

import os
import string
import time
from collections.abc import Iterator
from itertools import count

_LETTERS = (string.ascii_uppercase + string.ascii_lowercase + string.digits + "_-").encode()
_LETTER_OF_BYTE = bytes(_LETTERS[byte % 64] for byte in range(256))
_REDRAW_MILLISECONDS = 1000


class Uuid7:
    """Makes UUIDs of version 7 (RFC 9562, 5.7), ascending as long as the clock is.

    Random bits are drawn once a second, and IDs count up from there (RFC 9562, 6.2, method 2). That
    costs a quarter of drawing them for each ID, but makes the next ID easy to guess: IDs are not
    secret.
    """

    __slots__ = ("_counter", "_millisecond", "_prefix", "_random", "_redrawn_at")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Draw new random bits for the next id."""
        self._millisecond = self._redrawn_at = -1
        self._prefix = self._random = ""
        self._counter: Iterator[int] = count()

    def __call__(self) -> str:
        """Return a new UUID as text."""
        now = time.time_ns() // 1_000_000
        if now != self._millisecond:
            if not self._millisecond < now < self._redrawn_at:  # or the clock was set back
                self._draw()
                self._redrawn_at = now + _REDRAW_MILLISECONDS
            self._millisecond = now
            self._prefix = f"{now >> 16:08x}-{now & 0xFFFF:04x}{self._random}"
        return self._prefix + "%08x" % next(self._counter)  # noqa: UP031  # faster than an f-string

    def _draw(self) -> None:
        bits = int.from_bytes(os.urandom(10))
        high = 0x7000 | bits >> 68  # version and 12 random bits
        middle = 0x8000 | (bits >> 54 & 0x3FFF)  # variant and 14 random bits
        low = bits >> 38 & 0xFFFF
        self._random = f"-{high:04x}-{middle:04x}-{low:04x}"
        # 31 bits of the 32 that are left, so that the counter has room.
        self._counter = count(bits & 0x7FFF_FFFF)


uuid7 = Uuid7()
"""The source of this process."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=uuid7.forget)


class Nanoid:
    """Makes ids of letters, digits, ``_`` and ``-``, which need no quoting in a URL.

    :param size: number of characters, 6 random bits each.
    """

    __slots__ = ("_size",)

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self) -> str:
        """Return a new id."""
        return os.urandom(self._size).translate(_LETTER_OF_BYTE).decode("ascii")
