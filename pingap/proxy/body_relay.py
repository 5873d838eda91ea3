"""Body bytes on their way through: one direction of one request.

A relay holds what comes before the other side is ready, applies body filters, and passes on
back-pressure. With no filter a chunk goes from one connection to the other as it came.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from pingap.http.body_filters import BodyFilter, WholeBodyFilter
from pingap.http.errors import HTTPError, PluginError
from pingap.http.headers import Headers
from pingap.http.ports import Sink, Source
from pingap.plugins.checks import place_of_function

REPLAY_LIMIT: Final = 64 * 1024
"""Bytes of a request body kept while another attempt may need them (config.md 5.10)."""

Filters: TypeAlias = tuple[tuple[BodyFilter, str], ...]
"""Body filters in order, each with the name of its plugin instance."""


class BodyRelay:
    """Passes one body from a source to a sink.

    :param source: paused while bytes are held or the sink is full.
    """

    __slots__ = (
        "_filters",
        "_full",
        "_held",
        "_keep_limit",
        "_kept",
        "_kept_size",
        "_opened",
        "_paused",
        "_sent",
        "_sink",
        "_source",
        "_trailers",
        "_waiting",
        "collecting",
        "ended",
        "finished",
        "length",
        "limit",
        "received",
    )

    def __init__(self, source: Source) -> None:
        self._source = source
        self._sink: Sink | None = None
        self._filters: Filters = ()
        self._waiting: list[tuple[BodyFilter, str]] | None = None
        self._held: list[bytes] = []
        self._opened = False
        self._kept: list[bytes] | None = None
        self._kept_size = 0
        self._keep_limit = 0
        self._trailers: Headers | None = None
        self._full = False
        self._paused = False
        self._sent = 0
        self.length: int | None = None
        """Bytes that were announced to the sink; filters have to keep to it."""
        self.collecting = False
        """All of the body is being held, see ``collect``."""
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

    def collect(self, limit: int) -> None:
        """Hold all that comes, up to a limit, until it is opened.

        :param limit: bytes; another limit that is lower stays.
        """
        self.collecting = True
        self.limit = min(limit, self.limit or limit)
        self._update_source()

    @property
    def collected(self) -> bytes:
        """What is held."""
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
            self._update_source()
        elif self._filters:
            self._send(self._filter(chunk))
        elif self._kept is not None:
            self._send(chunk)
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

    def open(
        self,
        sink: Sink,
        filters: Filters = (),
        waiting: list[tuple[BodyFilter, str]] | None = None,
    ) -> None:
        """Connect the sink; what was held goes out now.

        Another sink first gets what the one before it was sent (see ``replayable``); the filters
        stay those of the first time.

        :param waiting: filters that have to get their end; those that do are removed.
        :raises PluginError: a failing filter.
        """
        self._sink = sink
        if self._opened:
            self._full = False
            for chunk in self._kept or ():
                sink.send_chunk(chunk)
            if self.finished:
                sink.send_end(self._trailers)
        else:
            self._opened = True
            self._filters = filters
            self._waiting = waiting
        held, self._held = self._held, []
        for chunk in held:
            self._send(self._filter(chunk) if self._filters else chunk)
        if self.ended and not self.finished:
            self._finish()
        if self._paused:
            self._update_source()

    def detach(self) -> None:
        """Hold what comes from now on: the sink is gone, and another one may be opened."""
        self._sink = None
        self._full = False

    def set_full(self, full: bool) -> None:
        """Take note that the sink can, or cannot, take more."""
        self._full = full
        self._update_source()

    def _update_source(self) -> None:
        if self.ended:
            return  # a connection to an upstream may serve another exchange by now
        pause = self._full or (bool(self._held) and not self.collecting)
        if pause and not self._paused:
            self._paused = True
            self._source.pause_body()
        elif self._paused and not pause:
            self._paused = False
            self._source.resume_body()

    def _send(self, chunk: bytes) -> None:
        if not chunk:
            return
        self._sent += len(chunk)
        if self._filters:
            self._check_length(complete=False)
        if self._kept is not None:
            self._kept.append(chunk)
            self._kept_size += len(chunk)
            if self._kept_size > self._keep_limit:
                self._kept = None
        assert self._sink is not None
        self._sink.send_chunk(chunk)

    def _filter(self, chunk: bytes, first: int = 0) -> bytes:
        for body_filter, plugin in self._filters[first:]:
            try:
                chunk = _bytes(body_filter.feed(chunk))
            except HTTPError:
                raise
            except BaseException as error:
                raise PluginError(plugin, "body filter", _place(body_filter, "feed")) from error
            if not chunk:
                break
        return chunk

    def _finish(self) -> None:
        if self._filters:
            self._end_filters()
            self._check_length(complete=True)
        assert self._sink is not None
        self._sink.send_end(self._trailers)
        self.finished = True

    def _check_length(self, *, complete: bool) -> None:
        """Refuse a body of another length than was announced: it would run into what follows.

        :raises PluginError: a filter that promised only to read changed the length.
        """
        if self.length is None or self._sent == self.length:
            return
        if complete or self._sent > self.length:
            names = ", ".join(plugin for _, plugin in self._filters)
            raise PluginError(names, "body filter") from ValueError(
                f"a filter that only reads changed the length: {self._sent} of {self.length} bytes"
            )

    def _end_filters(self) -> None:
        """Ask each filter for its rest, and give it to those behind."""
        trailers = self._trailers or Headers()
        for place, (body_filter, plugin) in enumerate(self._filters):
            if self._waiting is not None:
                self._waiting.remove((body_filter, plugin))
            try:
                rest = _bytes(body_filter.end(trailers))
            except HTTPError:
                raise
            except BaseException as error:
                raise PluginError(plugin, "body filter", _place(body_filter, "end")) from error
            if rest:
                self._send(self._filter(rest, place + 1))
        self._trailers = trailers if trailers.lines else None


def _bytes(result: object) -> bytes:
    if not isinstance(result, bytes):
        raise TypeError(f"a body filter returns bytes, not {type(result).__name__}")
    return result


def _place(body_filter: BodyFilter, method: str) -> str:
    """Return where a filter says what it returns."""
    cls = type(body_filter)
    inherited = getattr(cls, method) is getattr(WholeBodyFilter, method)
    return place_of_function(getattr(cls, "change" if inherited else method, None))
