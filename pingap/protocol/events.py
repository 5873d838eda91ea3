"""The events of the codecs and the limits of heads; shared by all versions of HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pingap.http.headers import Headers
from pingap.http.paths import NORMALISED, PathRules


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """The limits of a head, in bytes, and how it is read.

    :param paths: how the path of a request is read.
    :param keep_shadows: keep names with ``_`` that many applications confuse with ``-`` (``own_fields``).
    """

    request_line: int = 8 * 1024
    size: int = 64 * 1024
    fields: int = 256
    paths: PathRules = NORMALISED
    keep_shadows: bool = False


RESPONSE_LIMITS: Final = HeadLimits()

TUNNEL_PIECE: Final = 4 * 1024
"""Bytes that a tunnel passes on at a time if its messages are read, which can have as few as two bytes."""


class EndOfMessage:
    """The message is complete.

    :param trailers: the fields after the body; None if there were none.
    """

    __slots__ = ("trailers",)

    def __init__(self, trailers: Headers | None = None) -> None:
        self.trailers = trailers
