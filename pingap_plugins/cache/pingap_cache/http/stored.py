"""A response as the cache keeps it: the fields it serves, and all that serving must know, worked out once."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from struct import error as StructError  # noqa: N812
from typing import Final
from zlib import crc32

from pingap import Headers

_MAGIC: Final = b"PGR1"
_HEAD: Final = Struct("<4sIHB6d6I")
_CHECKED_FROM: Final = 8
"""The checksum covers all behind itself."""
_NO_CACHE: Final = 1
_FORBIDS_STALE: Final = 2
_HAS_REASON: Final = 4


class DecodeError(ValueError):
    """Bytes that are no stored response of this version, or a damaged one."""


@dataclass(slots=True)
class StoredResponse:
    """A response in the cache, without its body. To be treated as if it were frozen.

    Times are seconds since the epoch, durations seconds.
    """

    status: int
    reason: bytes | None
    """What the origin said beside the status; ``None`` for the usual phrase."""
    headers: Headers
    """What may be stored (RFC 9111, 3.1), without ``Age``."""
    request_time: float
    """When the request that was answered, or that last validated this response, was sent."""
    response_time: float
    """When the answer came."""
    born: float
    """``response_time`` less the age the response had then: its age is the time since (RFC 9111, 4.2.3)."""
    lifetime: float
    """Freshness lifetime (RFC 9111, 4.2.1)."""
    source: str
    """What gave the lifetime, for people to read."""
    no_cache: bool
    """Never to be used without validation (RFC 9111, 5.2.2.4)."""
    forbids_stale: bool
    """Never to be used stale, not even if the origin cannot be reached (RFC 9111, 4.2.4)."""
    stale_while_revalidate: float
    """How long past its lifetime it may be served while it is refreshed (RFC 5861, 3)."""
    stale_if_error: float
    """How long past its lifetime it may be served in place of an error (RFC 5861, 4)."""
    url: str
    tags: tuple[str, ...]
    """By which it can be purged."""

    @property
    def expires(self) -> float:
        """When it becomes stale."""
        return self.born + self.lifetime

    @property
    def is_never_fresh(self) -> bool:
        """Whether it has to be validated for each request."""
        useless = self.expires <= self.response_time and not self.stale_while_revalidate
        return self.no_cache or useless

    @property
    def etag(self) -> bytes | None:
        """``ETag``, as it came."""
        return self.headers.find(b"etag")

    @property
    def last_modified(self) -> bytes | None:
        """``Last-Modified``, as it came."""
        return self.headers.find(b"last-modified")

    def age(self, now: float) -> float:
        """Return the current age, never below 0 (RFC 9111, 4.2.3).

        A clock that was set back does not make a response younger than it was when it came.
        """
        return max(now, self.response_time, self.born) - self.born

    def encode(self) -> bytes:
        """Return bytes that ``decode`` reads."""
        keys = b"\n".join(self.headers.keys)
        lines = b"\n".join(self.headers.lines)
        source, url = self.source.encode(), self.url.encode("utf-8", "surrogateescape")
        tags = "\n".join(self.tags).encode("latin-1")
        reason = self.reason or b""
        flags = (
            (_NO_CACHE if self.no_cache else 0)
            | (_FORBIDS_STALE if self.forbids_stale else 0)
            | (_HAS_REASON if self.reason is not None else 0)
        )
        parts = (keys, lines, reason, source, url, tags)
        packed = _HEAD.pack(
            _MAGIC,
            0,
            self.status,
            flags,
            self.request_time,
            self.response_time,
            self.born,
            self.lifetime,
            self.stale_while_revalidate,
            self.stale_if_error,
            *map(len, parts),
        )
        checked = b"".join((packed[_CHECKED_FROM:], *parts))
        return b"%b%b%b" % (_MAGIC, crc32(checked).to_bytes(4, "little"), checked)

    @classmethod
    def decode(cls, data: bytes) -> StoredResponse:
        """Read what ``encode`` wrote.

        :raises DecodeError: these are other bytes, or damaged ones.
        """
        try:
            (
                magic, checksum, status, flags,
                request_time, response_time, born, lifetime, while_revalidate, if_error,
                keys_size, lines_size, reason_size, source_size, url_size, tags_size,
            ) = _HEAD.unpack_from(data)  # fmt: skip
        except StructError as error:
            raise DecodeError("too short for a stored response") from error
        if magic != _MAGIC or crc32(memoryview(data)[_CHECKED_FROM:]) != checksum:
            raise DecodeError("no stored response of this version, or a damaged one")
        lines_at = _HEAD.size + keys_size
        reason_at = lines_at + lines_size
        source_at = reason_at + reason_size
        url_at = source_at + source_size
        tags_at = url_at + url_size
        headers = Headers()
        if lines_size:
            headers.keys = data[_HEAD.size : lines_at].split(b"\n")
            headers.lines = data[lines_at:reason_at].split(b"\n")
        return cls(
            status,
            data[reason_at:source_at] if flags & _HAS_REASON else None,
            headers,
            request_time,
            response_time,
            born,
            lifetime,
            data[source_at:url_at].decode(),
            flags & _NO_CACHE != 0,
            flags & _FORBIDS_STALE != 0,
            while_revalidate,
            if_error,
            data[url_at:tags_at].decode("utf-8", "surrogateescape"),
            tuple(data[tags_at:].decode("latin-1").split("\n")) if tags_size else (),
        )
