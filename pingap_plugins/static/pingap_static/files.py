"""Files that are open or in memory, and what is said about them."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pingap import Headers, Response

ATTEMPTS: Final = 3
"""How often a small file that changes while it is read is read again."""

Identity = tuple[int, int, int, int, int]
"""Device, inode, size, and the times of the last changes of content and metadata, in ns."""


class OpenFile:
    """A descriptor that is closed when it is no longer used, at the latest with this object."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def stat(self) -> os.stat_result:
        """Return the metadata."""
        return os.fstat(self.descriptor)

    def take(self) -> int:
        """Return the descriptor, which now belongs to the caller."""
        descriptor, self.descriptor = self.descriptor, -1
        return descriptor

    def copy(self) -> int:
        """Return another descriptor of the same file, which belongs to the caller."""
        return os.dup(self.descriptor)

    def close(self) -> None:
        """Close it, unless it was taken."""
        if (descriptor := self.take()) >= 0:
            os.close(descriptor)

    __del__ = close


@dataclass(slots=True, eq=False)
class Representation:
    """A file as it is sent, in one coding.

    :param path: where it is, to see whether it changed.
    :param identity: what it was when it was opened.
    :param headers: those of a response with status 200, prepared.
    :param etag: its strong entity tag.
    :param modified: the time of its last change, in seconds; None if that is in the future.
    :param content: all of it; None if it is not in memory.
    :param file: the open file, if it is not.
    """

    path: bytes
    identity: Identity
    headers: Headers
    etag: bytes
    modified: int | None
    size: int
    content: bytes | None = None
    file: OpenFile | None = None
    whole: Response | None = None
    """The response with all of a file in memory: made when it is first needed, and copied."""


@dataclass(slots=True, eq=False)
class Found:
    """What a path leads to: a file, and the codings that lie beside it.

    :param codings: the files beside it, by coding, in the order of preference.
    :param remote: whether it is on a network file system, where even ``stat`` may take long.
    """

    plain: Representation
    codings: Mapping[str, Representation] = field(default_factory=dict)
    remote: bool = False
    weight: int = 0
    """Bytes that it takes in memory."""


def identity_of(found: os.stat_result) -> Identity:
    """Return what changes when a file does."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def read_small(descriptor: int, limit: int) -> tuple[os.stat_result, bytes | None]:
    """Read a file of up to ``limit`` bytes, so that the content is that of one moment.

    :returns: its metadata, and its content; None if it is larger, or does not stop changing.
    :raises OSError: it is not a regular file, or cannot be read.
    """
    before = os.fstat(descriptor)
    if not stat.S_ISREG(before.st_mode):
        raise FileNotFoundError
    for _ in range(ATTEMPTS):
        if before.st_size > limit:
            return before, None
        content = os.pread(descriptor, before.st_size + 1, 0)
        after = os.fstat(descriptor)
        if identity_of(after) == identity_of(before) and len(content) == after.st_size:
            return after, content
        before = after
    return before, None
