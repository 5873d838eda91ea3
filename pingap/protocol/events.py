"""What the codecs say and how large a head may get; the same for every version of HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pingap.http.headers import Headers
from pingap.http.paths import NORMALISED, PathRules


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """How large a head may get, in bytes, and how it is read.

    :param paths: how the path of a request is read.
    :param keep_shadows: keep names with ``_`` that many take for one with ``-`` (``own_fields``).
    """

    request_line: int = 8 * 1024
    size: int = 64 * 1024
    fields: int = 256
    paths: PathRules = NORMALISED
    keep_shadows: bool = False


RESPONSE_LIMITS: Final = HeadLimits()

TUNNEL_PIECE: Final = 4 * 1024
"""Bytes that a tunnel passes on at once, if they are read as messages, of which some have two bytes."""


class EndOfMessage:
    """The message is complete.

    :param trailers: the fields after the body; None if there were none.
    """

    __slots__ = ("trailers",)

    def __init__(self, trailers: Headers | None = None) -> None:
        self.trailers = trailers
