"""Limits HTTP/2 frames that cost more than they achieve (RFC 9113, 10.5), without IO.

A client may occasionally send any frame, but must not keep a worker busy with frames that have no effect.
Each kind has a stock, from which each frame takes one and which is refilled over time. An empty stock ends
the connection with ENHANCE_YOUR_CALM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pingap.protocol.http2_errors import ENHANCE_YOUR_CALM, Http2Error
from pingap.protocol.http2_frames import (
    DATA,
    HEADERS,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    UNKNOWN,
    WINDOW_UPDATE,
)


@dataclass(frozen=True, slots=True)
class Stock:
    """How many frames of a kind a client may send.

    :param most: in a burst.
    :param per_second: refilled over time.
    """

    name: str
    most: int
    per_second: float


STOCKS: Final = {
    # Streams that end before their response: cancelled by the client (rapid reset, CVE-2023-44487), or by us
    # because the client broke the rules on them (MadeYouReset, CVE-2025-8671).
    RST_STREAM: Stock("streams reset", 256, 32),
    SETTINGS: Stock("SETTINGS", 32, 1),
    PING: Stock("PING", 256, 32),
    PRIORITY: Stock("PRIORITY", 1024, 64),
    WINDOW_UPDATE: Stock("WINDOW_UPDATE", 1024, 128),
    DATA: Stock("empty DATA", 128, 8),
    UNKNOWN: Stock("unknown frames", 256, 16),
}


EARNED: Final = {
    # A response that was sent completely.
    HEADERS: ((RST_STREAM, 1),),
    # A frame of a response: clients open the windows of the stream and of the connection for the next one,
    # and some measure the round-trip time with a PING.
    DATA: ((WINDOW_UPDATE, 10), (PING, 1)),
}
"""Type of a sent frame -> the refill of stocks that it earns the client."""


class FloodGuard:
    """The stocks of one connection."""

    __slots__ = ("_at", "_left")

    def __init__(self) -> None:
        self._left: dict[int, float] = {}
        self._at: dict[int, float] = {}

    def spend(self, kind: int, now: float) -> None:
        """Take one from a stock.

        :param kind: a type of frame.
        :param now: monotonic seconds.
        :raises Http2Error: the stock is empty.
        """
        kind = min(kind, UNKNOWN)
        stock = STOCKS[kind]
        left = self._left.get(kind, stock.most)
        left += (now - self._at.get(kind, now)) * stock.per_second
        self._left[kind] = left = min(left, stock.most) - 1
        self._at[kind] = now
        if left < 0:
            raise Http2Error(ENHANCE_YOUR_CALM, f"too many {stock.name}")

    def earned(self, sent: int, number: int = 1) -> None:
        """Refill the stocks for useful work.

        :param sent: a type of frame.
        :param number: of such frames.
        """
        for kind, each in EARNED[sent]:
            if kind in self._left:
                self._left[kind] += each * number
