"""An entry that is kept in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pingap_cache.stores.interface import CHUNK, Entry

WHOLE: Final = 256 * 1024
"""A body of up to so many bytes is kept in one piece; joining a larger one would take too long."""
ENTRY_BYTES: Final = 360
"""What an entry takes besides its bytes and texts: the object, its numbers, its place in the dictionary."""
VIEW_SHARE: Final = 4
"""What a user of the store makes of the head (``view``) takes about so many times its bytes."""
TAG_BYTES: Final = 300
"""What a tag of an entry takes in the index, besides its text; less if others have it, too."""

_BYTES_OBJECT: Final = 33
_TEXT_OBJECT: Final = 57


class Kept(Entry):
    """An entry in memory, with its place in the queues of ``s3_fifo``.

    :param blocks: the body, in blocks of ``CHUNK`` bytes.
    :param keep_until: a time of ``monotonic``.
    :param stored: when; seconds since 1970.
    :param token: for ``tiered``: what it knew of changes before it read the entry.
    """

    __slots__ = (
        "blocks",
        "charge",
        "in_main",
        "keep_until",
        "key",
        "namespace",
        "newer",
        "older",
        "stored",
        "tags",
        "token",
        "url",
        "uses",
    )

    def __init__(
        self,
        key: bytes,
        head: bytes,
        blocks: Sequence[bytes],
        *,
        url: str,
        tags: tuple[str, ...],
        namespace: str,
        keep_until: float,
        stored: float,
        stamp: int,
        stale: bool,
        token: int,
    ) -> None:
        size = sum(map(len, blocks))
        whole = size <= WHOLE
        super().__init__(head, b"".join(blocks) if whole else None, size, stale=stale, stamp=stamp)
        self.blocks: tuple[bytes, ...] = () if whole else tuple(blocks)
        self.key = key
        self.url = url
        self.tags = tags
        self.namespace = namespace
        self.keep_until = keep_until
        self.stored = stored
        self.token = token
        self.charge = (
            ENTRY_BYTES
            + (len(key) + len(head) + size)
            + (2 + len(blocks)) * _BYTES_OBJECT
            + len(url.encode("utf-8", "replace"))
            + _TEXT_OBJECT
            + len(head) * VIEW_SHARE
        )
        for tag in tags:
            self.charge += TAG_BYTES + len(tag.encode("utf-8", "replace"))
        """Bytes that it takes, with all that comes with it."""
        self.uses = 0
        self.in_main = False
        self.older: Kept | None = None
        self.newer: Kept | None = None

    def with_head(self, head: bytes, keep_until: float) -> Kept:
        """Return the same entry with another head, not stale."""
        return Kept(
            self.key,
            head,
            self.blocks if self.body is None else (self.body,),
            url=self.url,
            tags=self.tags,
            namespace=self.namespace,
            keep_until=keep_until,
            stored=self.stored,
            stamp=self.stamp,
            stale=False,
            token=self.token,
        )

    def chunk(self, number: int, begin: int, end: int) -> bytes:
        """Return a part of the block with a number."""
        if self.body is not None:
            return self.body[number * CHUNK + begin : number * CHUNK + end]
        return self.blocks[number][begin:end]
