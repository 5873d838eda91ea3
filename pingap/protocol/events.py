"""What the codecs say and how large a head may get; the same for every version of HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pingap.messages import Headers


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """How large a head may get. Sizes in bytes."""

    request_line: int = 8 * 1024
    size: int = 32 * 1024
    fields: int = 100


RESPONSE_LIMITS: Final = HeadLimits(size=64 * 1024, fields=256)


class EndOfMessage:
    """The message is complete.

    :param trailers: the fields after the body; None if there were none.
    """

    __slots__ = ("trailers",)

    def __init__(self, trailers: Headers | None = None) -> None:
        self.trailers = trailers


class ChunkOverhead:
    """Bounds the bytes of a chunked body that are not body: sizes, extensions, trailers.

    Allowed are a fixed amount, some for each chunk, and as many as the body has; so streams of
    tiny chunks pass and a flood of chunk extensions or trailers does not.
    """

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = 16 * 1024

    def count(self, received: int, body: int, chunks: int) -> bool:
        """Take note of what one read brought; False if it is too much."""
        self._left += 2 * body + 32 * chunks - received
        return self._left >= 0
