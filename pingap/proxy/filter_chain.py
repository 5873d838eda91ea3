"""The filters of one body, from the source to the sink, and the order of their calls.

A filter is flushed when no data has arrived for a turn of the event loop. So data that arrives at once, or in
consecutive reads, is not flushed in between, for any source of the body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Final, Protocol, TypeAlias

from pingap.http.body_filters import AnyBodyFilter, AsyncBodyFilter
from pingap.http.errors import HTTPError, PluginError
from pingap.http.headers import Headers
from pingap.plugins.chains import Owner
from pingap.proxy.async_stage import AsyncStage
from pingap.proxy.filter_stages import Behind, Holder, Stage, SyncStage

MOST_WAITING: Final = 128 * 1024
"""Bytes that may wait for an async body filter; beyond that, the sender of the body is not read."""

Filters: TypeAlias = Sequence[Stage]
"""The filters of a body, in order."""


def stage_of(holder: Holder, body_filter: AnyBodyFilter, owner: Owner) -> Stage:
    """Return a filter as a stage of the right kind."""
    if isinstance(body_filter, AsyncBodyFilter):
        return AsyncStage(holder, body_filter, owner)
    return SyncStage(holder, body_filter, owner)


def rewrites(filters: Filters, rewriters: Collection[str]) -> bool:
    """Return whether a filter belongs to an instance that changes the length of bodies."""
    return any(stage.owner.name in rewriters for stage in filters)


class Outlet(Protocol):
    """The destination of filtered bytes."""

    @property
    def has_sink(self) -> bool:
        """Whether there is a sink now."""

    def send(self, chunk: bytes) -> None:
        """Send a chunk to the sink."""

    def finish(self, trailers: Headers | None) -> None:
        """Send the end to the sink."""

    def update_source(self) -> None:
        """Pause or resume the source."""


class FilterChain:
    """Passes one body through its filters.

    :param filters: in order, at least one.
    :param outlet: the destination.
    :param length: bytes announced to the sink, which the filters must not change; None if none were.
    """

    __slots__ = (
        "_async",
        "_came",
        "_exit",
        "_first",
        "_full",
        "_outlet",
        "_stages",
        "_updating",
        "_watched",
        "ended",
    )

    def __init__(self, filters: Filters, outlet: Outlet, length: int | None) -> None:
        self._stages = filters
        self._async = [stage for stage in reversed(filters) if isinstance(stage, AsyncStage)]
        self._outlet = outlet
        self._exit = _Exit(outlet, filters, length)
        self._full = False  # the sink is full, or there is none
        self._came = False  # data has arrived since the last check
        # Whether to check in the next turn of the loop; always True, in effect, if no filter needs flushes.
        self._watched = not any(stage.wants_flush for stage in filters)
        self._updating = False
        self.ended = False
        """Whether the end was passed on, or is not needed."""
        behind: Behind = self._exit
        for stage in reversed(filters):
            stage.link(behind, self)
            behind = stage
        self._first = behind

    def feed(self, chunk: bytes) -> None:
        """Filter a chunk.

        :raises PluginError: a filter failed; async ones report to the exchange instead.
        """
        if self.ended:
            return
        self._first.feed(chunk)
        self._came = True
        if not self._watched:
            self._watched = True
            asyncio.get_running_loop().call_soon(self._look)

    def end(self, trailers: Headers | None) -> None:
        """Filter the end; raises like ``feed``."""
        self.ended = True
        self._first.end(trailers or Headers())

    def stop(self) -> None:
        """Filter nothing more: the rest is not needed."""
        self.ended = True
        for stage in self._stages:
            stage.stop()

    def _look(self) -> None:
        """Flush the filters, unless data has arrived since the last check."""
        if self.ended:
            return
        if self._came:
            self._came = False
            asyncio.get_running_loop().call_soon(self._look)
            return
        self._watched = False
        try:
            self._first.flush()
        except HTTPError as error:
            self._stages[0].holder.fail(error)

    # Back-pressure.

    @property
    def is_full(self) -> bool:
        """Whether too much data waits for a filter."""
        return any(stage.waiting > MOST_WAITING for stage in self._async)

    def has_room_behind(self, stage: Stage) -> bool:
        """Return whether the output of a filter will be accepted."""
        if self._full:
            return False
        for later in self._async:
            if later is stage:
                break
            if later.waiting > MOST_WAITING:
                return False
        return True

    def set_full(self, full: bool) -> None:
        """Record whether the sink can accept more data."""
        self._full = full
        if not full:
            self._go_on()

    def reopen(self) -> None:
        """Continue with another sink.

        :raises PluginError: the length of the body differs from the announced one.
        """
        self._exit.reopen()
        self.set_full(False)

    def update(self) -> None:
        """Update back-pressure after the amount of waiting data has changed."""
        self._outlet.update_source()
        if len(self._async) > 1:
            self._go_on()

    def _go_on(self) -> None:
        if not self._updating:
            self._updating = True
            for stage in self._async:
                stage.go_on()
            self._updating = False


class _Exit:
    """The end of the chain: checks the length, and keeps data while there is no sink."""

    __slots__ = ("_filters", "_late", "_late_end", "_length", "_outlet", "_sent")

    def __init__(self, outlet: Outlet, filters: Filters, length: int | None) -> None:
        self._outlet = outlet
        self._filters = filters
        self._length = length
        self._sent = 0
        self._late: list[bytes] = []
        self._late_end: Headers | None = None

    def feed(self, chunk: bytes) -> None:
        if not self._outlet.has_sink:
            self._late.append(chunk)  # of a call that was under way when the sink was lost
            return
        self._sent += len(chunk)
        self._check_length(complete=False)
        self._outlet.send(chunk)

    def flush(self) -> None:
        pass

    def end(self, trailers: Headers) -> None:
        if not self._outlet.has_sink:
            self._late_end = trailers
            return
        self._check_length(complete=True)
        self._outlet.finish(trailers if trailers.lines else None)

    def reopen(self) -> None:
        late, self._late = self._late, []
        for chunk in late:
            self.feed(chunk)
        if self._late_end is not None:
            trailers, self._late_end = self._late_end, None
            self.end(trailers)

    def _check_length(self, *, complete: bool) -> None:
        """Check that a body has its announced length: otherwise the next message would be misread.

        :raises PluginError: a filter that declared only to read changed the length.
        """
        if self._length is None or self._sent == self._length:
            return
        if complete or self._sent > self._length:
            raise wrong_length(self._filters, self._sent, self._length)


def wrong_length(filters: Filters, size: int, length: int) -> PluginError:
    """Return the error for a body whose announced length was changed."""
    error = PluginError(", ".join(stage.owner.name for stage in filters), "body filter")
    error.__cause__ = ValueError(
        f"a filter that only reads changed the length: {size} of {length} bytes"
    )
    return error
