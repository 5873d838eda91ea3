"""The body filter of ``sub_filter``: decompress, apply the rules in order, compress again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pingap_content.decoders import DecodeError, Decoder, Limits, decoder
from pingap_content.encoders import Encoder, encoder
from pingap_content.heads import drop_digests

from pingap import BodyFilter, Headers, HTTPError, RequestOutcome, ThreadedBodyFilter
from pingap_rewrite.stages import GrowthError, Stage

LEVELS: Final = {"gzip": 5, "deflate": 5, "br": 4, "zstd": 3}
"""How well bodies are compressed again."""
_CODED: Final = 4 * 1024
"""Bytes that are decompressed and compressed in the event loop; more take a thread."""
_SEARCHED: Final = 8 * 1024
"""The same for bytes in which regular expressions are searched."""


@dataclass(slots=True)
class Work:
    """The result for one body."""

    replaced: int = 0
    """Occurrences that were replaced."""
    failure: str = ""
    """Why the response ended early; empty if it did not."""


class Substituting(BodyFilter):
    """Applies rules to one body, and keeps its content coding.

    A body that cannot be decompressed, or becomes too large, ends the response: it never looks complete.

    :param stages: the rules, in order.
    :param coding: ``gzip``, ``deflate``, ``br`` or ``zstd``; empty for none.
    :param limits: what may come out when it is decompressed.
    :param work: where the results go.
    """

    def __init__(self, stages: Sequence[Stage], coding: str, limits: Limits, work: Work) -> None:
        self._stages = stages
        self._result = work
        self._decoder: Decoder | None = decoder(coding, limits) if coding else None
        self._encoder: Encoder | None = encoder(coding, LEVELS[coding], None) if coding else None
        self._taken = False
        self._unflushed = False

    @property
    def pending(self) -> int:
        """Bytes or characters that the stages keep."""
        return sum(stage.pending for stage in self._stages)

    def feed(self, chunk: bytes) -> bytes:
        """Apply the rules to a chunk.

        :raises HTTPError: 502, it cannot be decompressed, or becomes too large.
        """
        self._taken = True
        try:
            data = chunk if self._decoder is None else self._decoder.feed(chunk)
            for stage in self._stages:
                data = stage.feed(data) if data else data
        except (DecodeError, GrowthError) as error:
            raise self._refuse(error) from error
        return self._encoded(data)

    def flush(self) -> bytes:
        """Let out everything that is certain: nothing more comes for now."""
        if self._encoder is None or not self._unflushed:
            return b""
        self._unflushed = False
        return self._encoder.flush()

    def end(self, trailers: Headers) -> bytes:
        """Return the rest.

        :raises HTTPError: 502, its end is missing, or it becomes too large.
        """
        drop_digests(trailers)
        if self._decoder is not None:
            if not self._taken:
                return b""
            if not self._decoder.is_complete:
                raise self._refuse(DecodeError("its end is missing"))
        try:
            made = self._encoded(self._rest())
        except GrowthError as error:
            raise self._refuse(error) from error
        self._result.replaced = sum(stage.replaced for stage in self._stages)
        return made if self._encoder is None else made + self._encoder.finish()

    def abandoned(self, outcome: RequestOutcome) -> None:
        """Free what is large."""
        self._decoder = self._encoder = None
        self._stages = ()

    def _rest(self) -> bytes:
        data = b""
        for stage in self._stages:
            data = (stage.feed(data) if data else b"") + stage.end()
        return data

    def _encoded(self, data: bytes) -> bytes:
        if self._encoder is None or not data:
            return data
        self._unflushed = True
        return self._encoder.compress(data)

    def _refuse(self, error: Exception) -> HTTPError:
        self._result.failure = str(error)
        return HTTPError(502, "The response cannot be changed", error_type="Substitution")


class SubstitutingAnywhere(ThreadedBodyFilter):
    """Does in the event loop what is quick, and everything else in threads.

    :param inner: the filter.
    :param coded: the body has a content coding.
    """

    def __init__(self, inner: Substituting, *, coded: bool) -> None:
        super().__init__(inner)
        self._substituting = inner
        self._most = _CODED if coded else _SEARCHED

    def needs_thread(self, method: str, size: int) -> bool:
        """Return whether a call would hold the event loop for too long."""
        return method != "flush" and size + self._substituting.pending > self._most
