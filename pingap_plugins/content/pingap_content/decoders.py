"""Decompressors of one body, which stop when too much comes out of too little."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import brotli  # type: ignore[import-untyped]
import zstandard

FREE: Final = 1024 * 1024
"""Bytes that may come out of any piece, and of any body, whatever went in."""
_STEP: Final = 256 * 1024
"""Bytes that come out before the limits are looked at again."""
_ZSTD_SLICE: Final = 128
"""Bytes that zstandard gets at once: it cannot stop, and makes up to 128 KiB of 4 of them."""
_ZSTD_WINDOW: Final = 8 * 1024 * 1024
"""The largest window of the coding ``zstd`` (RFC 9659)."""

DECODABLE: Final = {
    "gzip": "gzip",
    "x-gzip": "gzip",
    "br": "br",
    "zstd": "zstd",
    "deflate": "deflate",
}
"""Value of ``Content-Encoding`` -> the coding, of those that can be taken away."""


class DecodeError(Exception):
    """A body cannot be decompressed."""


class BombError(DecodeError):
    """More comes out of a body than the limits allow."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may come out of a body.

    :param size: bytes of the whole; 0 for any number.
    :param ratio: how many times what went in, of the whole and of each piece; not counting ``FREE``.
    """

    size: int
    ratio: int


class Decoder(ABC):
    """Decompresses one body.

    :param limits: what may come out.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._taken = 0
        self._made = 0

    def feed(self, data: bytes) -> bytes:
        """Take a piece; return what is in it.

        :raises DecodeError: it is malformed, or too much.
        """
        self._taken += len(data)
        made: list[bytes] = []
        size = 0
        try:
            for piece in self._pieces(data):
                made.append(piece)
                size += len(piece)
                self._made += len(piece)
                self._check(size, len(data))
        except (zlib.error, brotli.error, zstandard.ZstdError) as error:
            raise DecodeError(str(error)) from error
        return b"".join(made)

    def _check(self, size: int, taken: int) -> None:
        limits = self._limits
        if limits.size and self._made > limits.size:
            raise BombError(f"more than {limits.size} bytes")
        of_piece = size > max(FREE, limits.ratio * taken)
        if of_piece or self._made > max(FREE, limits.ratio * self._taken):
            raise BombError(f"more than {limits.ratio} times its size")

    @abstractmethod
    def _pieces(self, data: bytes) -> Iterator[bytes]:
        """Make what is in a piece, in steps."""

    @property
    @abstractmethod
    def is_complete(self) -> bool:
        """Whether the body may end here."""


class _Deflate(Decoder):
    """``gzip``, which may have several members, and ``deflate``, with the header of zlib or without."""

    def __init__(self, limits: Limits, *, gzip: bool) -> None:
        super().__init__(limits)
        self._gzip = gzip
        self._begin = b""  # too short to know what it is
        self._inner: zlib._Decompress | None = None
        self._members = 0  # that were complete

    @property
    def is_complete(self) -> bool:
        return self._members > 0 and (self._inner is None or self._inner.eof)

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inner is None:
                data = self._begin + data
                if not self._open(data):
                    return
            assert self._inner is not None
            while data and not self._inner.eof:
                yield self._inner.decompress(data, _STEP)
                data = self._inner.unconsumed_tail
            while not self._inner.eof and (rest := self._inner.decompress(b"", _STEP)):
                yield rest
            if self._inner.eof:
                data = self._inner.unused_data if self._gzip else b""
                self._members += 1
                self._inner = None

    def _open(self, data: bytes) -> bool:
        """Begin a member; return False if nothing more can be read."""
        self._begin = data if len(data) < 2 else b""
        if self._begin or (self._members and (not self._gzip or data[:2] != b"\x1f\x8b")):
            return False  # (What follows the last member is padding: gzip skips it, too.)
        if self._gzip:
            wbits = 16 + zlib.MAX_WBITS
        else:  # RFC 1950, 2.2; some servers send it bare (RFC 9110, 8.4.1.2)
            wrapped = data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0
            wbits = zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS
        self._inner = zlib.decompressobj(wbits)
        return True


class _Brotli(Decoder):
    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._inner = brotli.Decompressor()

    @property
    def is_complete(self) -> bool:
        return bool(self._inner.is_finished())

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        if self._inner.is_finished():
            raise DecodeError("something follows its end")
        yield self._inner.process(data, output_buffer_limit=_STEP)
        while not self._inner.can_accept_more_data() and not self._inner.is_finished():
            yield self._inner.process(b"", output_buffer_limit=_STEP)


class _Zstandard(Decoder):
    """``zstd``, which may have several frames."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._inner: zstandard.ZstdDecompressionObj | None = None
        self._frames = 0  # that were complete

    @property
    def is_complete(self) -> bool:
        return self._frames > 0 and self._inner is None

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), _ZSTD_SLICE):
            part = data[at : at + _ZSTD_SLICE]
            while part:
                inner = self._inner = self._inner or self._context.decompressobj()
                yield inner.decompress(part)
                part = b""
                if inner.eof:
                    part, self._inner = inner.unused_data, None
                    self._frames += 1


def decoder(coding: str, limits: Limits) -> Decoder:
    """Return a decompressor.

    :param coding: ``gzip``, ``deflate``, ``br`` or ``zstd``.
    """
    if coding == "br":
        return _Brotli(limits)
    if coding == "zstd":
        return _Zstandard(limits)
    return _Deflate(limits, gzip=coding == "gzip")
