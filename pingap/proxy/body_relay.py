"""Body bytes on their way through: one direction of one request.

A relay holds what comes before the other side is ready, applies body filters, and passes on
back-pressure. With no filter a chunk goes from one connection to the other as it came.
"""

from __future__ import annotations

from typing import Final

import anyio

from pingap.http.errors import HTTPError
from pingap.http.headers import Headers
from pingap.http.ports import Sink, Source
from pingap.proxy.filter_chain import FilterChain, Filters

REPLAY_LIMIT: Final = 64 * 1024
"""Bytes of a request body kept while another attempt may need them (config.md 5.10)."""


class BodyRelay:
    """Passes one body from a source to a sink.

    :param source: paused while bytes are held or the sink is full.
    """

    __slots__ = (
        "_chain",
        "_full",
        "_held",
        "_keep_limit",
        "_kept",
        "_kept_size",
        "_opened",
        "_paused",
        "_readers",
        "_sink",
        "_source",
        "_trailers",
        "_whole",
        "ended",
        "finished",
        "limit",
        "received",
    )

    def __init__(self, source: Source) -> None:
        self._source = source
        self._sink: Sink | None = None
        self._chain: FilterChain | None = None
        self._held: list[bytes] = []
        self._opened = False
        self._kept: list[bytes] | None = None
        self._kept_size = 0
        self._keep_limit = 0
        self._trailers: Headers | None = None
        self._full = False
        self._paused = False
        self._whole: anyio.Event | None = None
        self._readers = 0
        self.limit = 0
        """Bytes the body may have; 0 for any number."""
        self.received = 0
        """Bytes that came from the source."""
        self.ended = False
        """The source delivered the end."""
        self.finished = False
        """The end went to the sink."""

    @property
    def replayable(self) -> bool:
        """True if everything sent so far could be sent again."""
        return not self._opened or self._kept is not None

    @property
    def is_paused(self) -> bool:
        """True while the source is to send no more."""
        return self._paused

    @property
    def was_opened(self) -> bool:
        """Whether there has been a sink: some of the body may have gone to it."""
        return self._opened

    @property
    def is_too_large(self) -> bool:
        """Whether more came than the limit allows."""
        return 0 < self.limit < self.received

    async def collect(self, limit: int) -> bytes:
        """Hold all of the body, whose sink is not opened yet, and return it.

        (Not in the lifecycle of an exchange, but in a task.)

        :param limit: bytes it may have; another limit that is lower stays.
        """
        if not self.ended:
            before = self.limit
            self.limit = min(limit, before or limit)
            self._whole = self._whole or anyio.Event()
            self._readers += 1
            self.update_source()
            try:
                await self._whole.wait()
            finally:
                self._readers -= 1
                if not self._readers:
                    self._whole = None
                    self.limit = before
                    self.update_source()
        return b"".join(self._held)

    def keep(self, limit: int = REPLAY_LIMIT) -> None:
        """Keep what will be sent, up to so many bytes, for another attempt."""
        if not self._opened:
            self._kept = []
            self._keep_limit = limit

    def keep_nothing(self) -> None:
        """Forget what was kept: there will be no other attempt."""
        self._kept = None

    def feed(self, chunk: bytes) -> None:
        """Take a chunk from the source.

        :raises HTTPError: 413, the body is larger than its limit; or a failing filter.
        """
        self.received += len(chunk)
        if self.limit and self.received > self.limit:
            raise HTTPError(413, f"Request Entity Too Large, max:{self.limit}")
        if self._sink is None:
            self._held.append(chunk)
            self.update_source()
        elif self._chain is not None:
            self._chain.feed(chunk)
        elif self._kept is not None:
            self.send(chunk)
        else:
            self._sink.send_chunk(chunk)

    def end(self, trailers: Headers | None) -> None:
        """Take the end from the source.

        :raises PluginError: a failing filter.
        """
        self.ended = True
        self._trailers = trailers
        if self._sink is not None:
            self._finish()
        elif self._whole is not None:
            self._whole.set()

    def open(self, sink: Sink, filters: Filters = (), length: int | None = None) -> None:
        """Connect the sink; what was held goes out now.

        Another sink first gets what the one before it was sent (see ``replayable``); the filters
        stay those of the first time.

        :param length: bytes that were announced to the sink; the filters have to keep to it.
        :raises PluginError: a failing filter.
        """
        self._sink = sink
        if self._opened:
            self._full = False
            for chunk in self._kept or ():
                sink.send_chunk(chunk)
            if self.finished:
                sink.send_end(self._trailers)
            elif self._chain is not None:
                self._chain.reopen()
        else:
            self._opened = True
            if filters:
                self._chain = FilterChain(filters, self, length)
                self._chain.set_full(self._full)
        held, self._held = self._held, []
        for chunk in held:
            if self._chain is not None:
                self._chain.feed(chunk)
            else:
                self.send(chunk)
        if self.ended and not self.finished:
            self._finish()
        if self._paused:
            self.update_source()

    @property
    def has_sink(self) -> bool:
        """Whether there is a sink now."""
        return self._sink is not None

    def detach(self) -> None:
        """Hold what comes from now on: the sink is gone, and another one may be opened."""
        self._sink = None
        self._full = False
        if self._chain is not None:
            self._chain.set_full(True)

    def stop(self) -> None:
        """Filter nothing more: nobody wants the rest."""
        if self._chain is not None:
            self._chain.stop()

    def set_full(self, full: bool) -> None:
        """Take note that the sink can, or cannot, take more."""
        self._full = full
        if self._chain is not None:
            self._chain.set_full(full)
        self.update_source()

    def update_source(self) -> None:
        """Pause or resume the source, as there is room for what it sends."""
        if self.ended:
            return  # a connection to an upstream may serve another exchange by now
        pause = (
            self._full
            or (bool(self._held) and self._whole is None)
            or (self._chain is not None and self._chain.is_full)
        )
        if pause and not self._paused:
            self._paused = True
            self._source.pause_body()
        elif self._paused and not pause:
            self._paused = False
            self._source.resume_body()

    def send(self, chunk: bytes) -> None:
        """Send a chunk that has passed all filters."""
        if self._kept is not None:
            self._kept.append(chunk)
            self._kept_size += len(chunk)
            if self._kept_size > self._keep_limit:
                self._kept = None
        assert self._sink is not None
        self._sink.send_chunk(chunk)

    def finish(self, trailers: Headers | None) -> None:
        """Send the end, which has passed all filters."""
        self._trailers = trailers
        assert self._sink is not None
        self._sink.send_end(trailers)
        self.finished = True

    def _finish(self) -> None:
        if self._chain is None:
            self.finish(self._trailers)
        elif not self._chain.ended:
            self._chain.end(self._trailers)
