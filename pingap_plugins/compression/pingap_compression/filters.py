"""Body filters that compress and decompress, in the event loop or in threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pingap_content.decoders import DecodeError, Decoder, Limits, decoder
from pingap_content.encoders import Encoder, encoder
from pingap_content.heads import drop_digests

from pingap import BodyFilter, Headers, HTTPError, RequestOutcome, ThreadedBodyFilter
from pingap_compression.pace import Pace, Turn

_KEPT: Final = {"gzip": 16 * 1024, "br": 64 * 1024, "zstd": 128 * 1024}
"""Bytes that a compressor may have taken without having done the work."""


@dataclass(slots=True)
class Work:
    """What was done with one body.

    :param coding: that is applied, or taken away.
    :param compresses: it is applied.
    """

    coding: str
    compresses: bool
    taken: int = 0
    """Bytes that went in."""
    made: int = 0
    """Bytes that came out."""
    seconds: float = 0.0
    """Of processor time: what others do on a busy machine says nothing about a coding."""
    complete: bool = False
    failure: str = ""
    """Why it could not be decompressed."""

    @property
    def ratio(self) -> float:
        """How many times smaller the body is with the coding; 0 for an empty one."""
        plain, coded = (self.taken, self.made) if self.compresses else (self.made, self.taken)
        return plain / coded if coded else 0.0


class Compressing(BodyFilter):
    """Compresses one body.

    :param work: where its figures go.
    :param pace: of the coding and its level.
    :param length: bytes of the body, if they are known.
    :param done: called with the figures when the body is complete.
    """

    def __init__(
        self,
        work: Work,
        pace: Pace,
        level: int,
        length: int | None,
        done: Callable[[Work], None],
    ) -> None:
        self._figures = work
        self._done = done
        self._pace = pace
        self._encoder: Encoder | None = encoder(work.coding, level, length)
        self._unflushed = 0
        self._seconds = 0.0  # since it was flushed

    def feed(self, chunk: bytes) -> bytes:
        """Compress a chunk."""
        assert self._encoder is not None
        began = time.thread_time()
        made = self._encoder.compress(chunk)
        self._figures.taken += len(chunk)
        self._unflushed += len(chunk)
        self._note(made, began)
        return made

    def flush(self) -> bytes:
        """Let out everything: nothing more comes for now."""
        assert self._encoder is not None
        began = time.thread_time()
        made = self._encoder.flush()
        self._note(made, began)
        self._measure()
        return made

    def end(self, trailers: Headers) -> bytes:
        """Let out the rest; trailers stay, but for digests of other bytes."""
        assert self._encoder is not None
        drop_digests(trailers)
        began = time.thread_time()
        made = self._encoder.finish()
        self._encoder = None
        self._note(made, began)
        self._measure()
        self._figures.complete = True
        self._done(self._figures)
        return made

    def abandoned(self, outcome: RequestOutcome) -> None:
        """Free the compressor, which is large."""
        self._encoder = None

    def estimate(self, size: int) -> float:
        """Return how long the next call will take, about.

        :param size: bytes of its chunk.
        """
        kept = min(self._unflushed, _KEPT[self._figures.coding])
        return (size + kept) * self._pace.per_byte

    def _note(self, made: bytes, began: float) -> None:
        seconds = time.thread_time() - began
        self._seconds += seconds
        self._figures.seconds += seconds
        self._figures.made += len(made)

    def _measure(self) -> None:
        self._pace.note(self._unflushed, self._seconds)
        self._unflushed, self._seconds = 0, 0.0


class Decompressing(BodyFilter):
    """Decompresses one body.

    A body that is broken or cut off, or becomes too large, ends the response: it is never taken for a
    whole one.

    :param work: where its figures go.
    :param limits: what may come out.
    """

    def __init__(self, work: Work, limits: Limits) -> None:
        self._figures = work
        self._decoder: Decoder | None = decoder(work.coding, limits)

    def feed(self, chunk: bytes) -> bytes:
        """Decompress a chunk.

        :raises HTTPError: 502, it cannot be decompressed.
        """
        assert self._decoder is not None
        began = time.thread_time()
        try:
            made = self._decoder.feed(chunk)
        except DecodeError as error:
            raise self._refuse(str(error)) from error
        finally:
            self._figures.seconds += time.thread_time() - began
        self._figures.taken += len(chunk)
        self._figures.made += len(made)
        return made

    def end(self, trailers: Headers) -> bytes:
        """Check that nothing is missing; trailers stay, but for digests of other bytes.

        :raises HTTPError: 502, something is missing.
        """
        assert self._decoder is not None
        drop_digests(trailers)
        if self._figures.taken and not self._decoder.is_complete:
            raise self._refuse("its end is missing")
        self._decoder = None
        self._figures.complete = True
        return b""

    def abandoned(self, outcome: RequestOutcome) -> None:
        """Free the decompressor."""
        self._decoder = None

    def _refuse(self, reason: str) -> HTTPError:
        self._decoder = None
        self._figures.failure = reason
        return HTTPError(502, "The response cannot be decompressed", error_type="Decompression")


class CompressingAnywhere(ThreadedBodyFilter):
    """Compresses in the event loop what is quick, and everything else in threads.

    :param inner: the filter.
    """

    def __init__(self, inner: Compressing) -> None:
        super().__init__(inner)
        self._compressing = inner
        self._turn = Turn()

    def needs_thread(self, method: str, size: int) -> bool:
        """Return whether a call would hold the event loop for too long."""
        seconds = self._compressing.estimate(size)
        if not self._turn.has_room(seconds):
            return True
        self._turn.note(seconds)
        return False
