"""Relays the body of one direction of one request.

A relay holds data until the other side is ready, applies body filters, and passes on back-pressure. Without a
filter, chunks are passed from one connection to the other unchanged.
"""

from __future__ import annotations

from typing import Final

import anyio

from pingap.http.errors import HTTPError
from pingap.http.headers import Headers
from pingap.http.ports import Sink, Source
from pingap.proxy.filter_chain import FilterChain, Filters

REPLAY_LIMIT: Final = 64 * 1024
"""Maximum number of request body bytes kept for another attempt (config.md 5.10)."""


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
        "_most_held",
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
        self._most_held = 0
        self._readers = 0
        self.limit = 0
        """Maximum size of the body in bytes; 0 for no limit."""
        self.received = 0
        """Bytes received from the source."""
        self.ended = False
        """Whether the source has delivered the end."""
        self.finished = False
        """Whether the end has been sent to the sink."""

    @property
    def replayable(self) -> bool:
        """Whether everything sent so far could be sent again."""
        return not self._opened or self._kept is not None

    @property
    def is_paused(self) -> bool:
        """Whether the source should send no more."""
        return self._paused

    @property
    def was_opened(self) -> bool:
        """Whether there has been a sink: some of the body may have gone to it."""
        return self._opened

    @property
    def is_too_large(self) -> bool:
        """Whether it exceeds the limit."""
        return 0 < self.limit < self.received

    async def collect(self, limit: int) -> bytes:
        """Hold the whole body, whose sink is not opened yet, and return it.

        Called in a task, not in the lifecycle of an exchange.

        :param limit: maximum size in bytes; a lower limit that is already set stays.
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

    async def hold(self, limit: int) -> bytes | None:
        """Hold the whole body, as ``collect`` does; one that is larger goes on when the sink is opened.

        :param limit: maximum size in bytes.
        :returns: None if it is larger.
        """
        if not self.ended and self.received <= limit:
            self._most_held = limit
            self._whole = whole = anyio.Event()
            self.update_source()
            try:
                await whole.wait()
            finally:
                self._whole = None
                self.update_source()
        return b"".join(self._held) if self.ended and self.received <= limit else None

    def keep(self, limit: int = REPLAY_LIMIT) -> None:
        """Keep sent data, up to this many bytes, for another attempt."""
        if not self._opened:
            self._kept = []
            self._keep_limit = limit

    def keep_nothing(self) -> None:
        """Drop the kept data: there will be no other attempt."""
        self._kept = None

    def feed(self, chunk: bytes) -> None:
        """Handle a chunk from the source.

        :raises HTTPError: 413, the body exceeds its limit; or a filter failed.
        """
        self.received += len(chunk)
        if self.limit and self.received > self.limit:
            raise HTTPError(413, f"Request Entity Too Large, max:{self.limit}")
        if self._sink is None:
            self._held.append(chunk)
            if 0 < self._most_held < self.received and self._whole is not None:
                self._whole.set()
                self._whole = None  # so that the source is paused
            self.update_source()
        elif self._chain is not None:
            self._chain.feed(chunk)
        elif self._kept is not None:
            self.send(chunk)
        else:
            self._sink.send_chunk(chunk)

    def end(self, trailers: Headers | None) -> None:
        """Handle the end from the source.

        :raises PluginError: a filter failed.
        """
        self.ended = True
        self._trailers = trailers
        if self._sink is not None:
            self._finish()
        elif self._whole is not None:
            self._whole.set()

    def open(self, sink: Sink, filters: Filters = (), length: int | None = None) -> None:
        """Connect the sink; held data is sent now.

        Another sink first gets the data that was sent to the previous one (see ``replayable``); the filters
        of the first time are kept.

        :param length: bytes announced to the sink, which the filters must not change.
        :raises PluginError: a filter failed.
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
        """Hold data from now on: the sink is gone, and another one may be opened."""
        self._sink = None
        self._full = False
        if self._chain is not None:
            self._chain.set_full(True)

    def stop(self) -> None:
        """Filter nothing more: the rest is not needed."""
        if self._chain is not None:
            self._chain.stop()

    def set_full(self, full: bool) -> None:
        """Record whether the sink can accept more data."""
        self._full = full
        if self._chain is not None:
            self._chain.set_full(full)
        self.update_source()

    def update_source(self) -> None:
        """Pause or resume the source, depending on the room for its data."""
        if self.ended:
            return  # the connection to an upstream may already serve another exchange
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
