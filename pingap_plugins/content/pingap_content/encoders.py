"""Compressors of one body: gzip, deflate, brotli and zstandard, within known memory.

A stream that is compressed keeps a window of what came before, and tables to search it. What the
libraries choose by default is meant for files, up to hundreds of megabytes; here windows are 32 KiB
(gzip), 64 KiB (brotli) and 256 KiB (zstandard) at most, and smaller for short bodies. ``MEMORY`` says
what that comes to.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any, Final, Protocol, cast

import brotli  # type: ignore[import-untyped]
import zstandard

_deflate: ModuleType = zlib
with suppress(ImportError):  # no wheels for this machine; it has the interface of zlib
    _deflate = importlib.import_module("zlib_ng.zlib_ng")

ENGINE: Final[str] = _deflate.__name__.rpartition(".")[2]
"""The library that makes gzip."""
MOST_LEVEL: Final = {"gzip": 9, "br": 11, "zstd": 22}
"""The highest level of each coding."""
PREFERENCE: Final = ("zstd", "br", "gzip")
"""All codings, the one that is preferred first."""

_GZIP: Final = 16 + zlib.MAX_WBITS  # with the header and the checksum of gzip
_BROTLI_WINDOW: Final = 16
_LEAST_BROTLI_WINDOW: Final = 10
_ZSTD_SIZE: Final = 256 * 1024
"""Parameters of zstandard are those for bodies of at most this size."""

MEMORY: Final = {"gzip": 350_000, "br": 3_200_000, "zstd": 6_500_000}
"""Bytes that compressing one body may take, whatever the level."""


class Encoder(Protocol):
    """Compresses one body."""

    def compress(self, data: bytes) -> bytes:
        """Take a piece; return what is ready."""

    def flush(self) -> bytes:
        """Return everything that was taken, so that the client can read all of it."""

    def finish(self) -> bytes:
        """Return the rest."""


def encoder(coding: str, level: int, length: int | None) -> Encoder:
    """Return a compressor.

    :param coding: ``gzip``, ``deflate``, ``br`` or ``zstd``.
    :param level: from 1 on.
    :param length: bytes of the body, if they are known.
    """
    made: Encoder = _ENCODERS[coding](level, length)
    return made


class _Gzip:
    wbits = _GZIP

    def __init__(self, level: int, length: int | None) -> None:
        compressor = _deflate.compressobj(level, zlib.DEFLATED, self.wbits)
        self.compress: Callable[[bytes], bytes] = compressor.compress
        self.finish: Callable[[], bytes] = compressor.flush

    def flush(self) -> bytes:
        return self.finish(zlib.Z_SYNC_FLUSH)  # type: ignore[call-arg]


class _Deflate(_Gzip):
    wbits = zlib.MAX_WBITS  # with the header of zlib (RFC 9110, 8.4.1.2)


class _Brotli:
    def __init__(self, level: int, length: int | None) -> None:
        window = _BROTLI_WINDOW
        if length is not None:
            window = min(window, max(_LEAST_BROTLI_WINDOW, (length + 16).bit_length()))
        compressor = brotli.Compressor(quality=level, lgwin=window)
        self.compress: Callable[[bytes], bytes] = compressor.process
        self.flush: Callable[[], bytes] = compressor.flush
        self.finish: Callable[[], bytes] = compressor.finish


class _Zstandard:
    def __init__(self, level: int, length: int | None) -> None:
        size = _ZSTD_SIZE if length is None else min(length, _ZSTD_SIZE)
        parameters = zstandard.ZstdCompressionParameters.from_level(level, source_size=max(size, 1))
        compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        self.compress: Callable[[bytes], bytes] = compressor.compress
        self.finish: Callable[[], bytes] = compressor.flush

    def flush(self) -> bytes:
        block = zstandard.COMPRESSOBJ_FLUSH_BLOCK
        return self.finish(block)  # type: ignore[call-arg]


_ENCODERS: Final = cast(
    "dict[str, Callable[[int, int | None], Any]]",
    {"gzip": _Gzip, "deflate": _Deflate, "br": _Brotli, "zstd": _Zstandard},
)
