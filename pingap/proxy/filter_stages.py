"""A body filter in its chain: gets the output of the previous stage, and feeds the next one."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

from pingap.http.body_filters import (
    AnyBodyFilter,
    BodyFilter,
    innermost,
    overrides_flush,
)
from pingap.http.errors import HTTPError, PingapError, PluginError
from pingap.http.headers import Headers
from pingap.http.outcome import RequestOutcome
from pingap.plugins.chains import Owner
from pingap.plugins.checks import place_of_function

if TYPE_CHECKING:
    from pingap.proxy.async_hooks import HookTasks, Outcome


class Behind(Protocol):
    """The receiver of a filter's output: the next filter, or the exit to the sink."""

    def feed(self, chunk: bytes) -> None:
        """Handle a chunk; never empty."""

    def flush(self) -> None:
        """Send kept data that can be sent."""

    def end(self, trailers: Headers) -> None:
        """Handle the end of the body."""


class Holder(Protocol):
    """The part of an exchange that a filter uses."""

    filters: list[Stage]
    """Filters that neither have received the end of their body nor were abandoned."""

    @property
    def tasks(self) -> HookTasks:
        """Runs awaitables of plugins."""

    def fail(self, failure: PingapError) -> None:
        """End the exchange."""

    def wake(self) -> None:
        """Let the lifecycle check its condition again."""


class Pressure(Protocol):
    """The chain of a filter, which tracks waiting data."""

    def has_room_behind(self, stage: Stage) -> bool:
        """Return whether the output of the filter will be accepted."""

    def update(self) -> None:
        """Update back-pressure after the amount of waiting data has changed."""


class Stage(ABC):
    """A filter of one body, called in the right way; attributes its errors.

    :param holder: the exchange.
    :param owner: the plugin instance it belongs to.
    """

    __slots__ = ("_behind", "_fed", "_filter", "_flushes", "holder", "owner")

    def __init__(self, holder: Holder, body_filter: AnyBodyFilter, owner: Owner) -> None:
        self.holder = holder
        self._filter = body_filter
        self._behind: Behind
        self._flushes = overrides_flush(body_filter)
        self._fed = False  # since the last flush
        self.owner = owner

    @property
    def wants_flush(self) -> bool:
        """Whether it needs flushes."""
        return self._flushes

    @property
    def hold_head(self) -> int:
        """See :class:`BodyFilter`."""
        return self._filter.hold_head

    def link(self, behind: Behind, chain: Pressure) -> None:
        """Set the receiver of the results."""
        self._behind = behind

    @abstractmethod
    def feed(self, chunk: bytes) -> None:
        """Handle a chunk; never empty."""

    @abstractmethod
    def flush(self) -> None:
        """Flush the filter, and the next ones."""

    @abstractmethod
    def end(self, trailers: Headers) -> None:
        """Handle the end of the body."""

    def stop(self) -> Outcome | None:
        """Do nothing more; return a cancelled call that has not ended yet."""
        return None

    def abandon(self, outcome: RequestOutcome) -> None:
        """Notify the filter that its body stays incomplete."""
        self._filter.abandoned(outcome)

    def failure(self, method: str) -> PluginError:
        """Return the error for a call that raised an exception."""
        return PluginError(self.owner.name, "body filter", _place(self._filter, method))


class SyncStage(Stage):
    """A filter with plain calls."""

    __slots__ = ()

    _filter: BodyFilter

    def feed(self, chunk: bytes) -> None:
        """Handle a chunk.

        :raises PluginError: this filter failed, or a later one.
        """
        try:
            result = checked(self._filter.feed(chunk))
        except HTTPError:
            raise
        except BaseException as error:
            raise self.failure("feed") from error
        self._fed = True
        if result:
            self._behind.feed(result)

    def whole(self, body: bytes, trailers: Headers) -> bytes:
        """Return the result for a body that is already complete; raises like ``feed``.

        :param trailers: empty; the filter may add some.
        """
        try:
            made = checked(self._filter.feed(body)) if body else b""
        except HTTPError:
            raise
        except BaseException as error:
            raise self.failure("feed") from error
        rest = self._end(trailers)
        return made + rest if rest else made

    def flush(self) -> None:
        """Flush the filter, and the next ones; raises like ``feed``."""
        if self._flushes and self._fed:
            self._fed = False
            try:
                result = checked(self._filter.flush())
            except HTTPError:
                raise
            except BaseException as error:
                raise self.failure("flush") from error
            if result:
                self._behind.feed(result)
        self._behind.flush()

    def end(self, trailers: Headers) -> None:
        """Handle the end of the body; raises like ``feed``."""
        rest = self._end(trailers)
        if rest:
            self._behind.feed(rest)
        self._behind.end(trailers)

    def _end(self, trailers: Headers) -> bytes:
        """Return the rest of the body."""
        self.holder.filters.remove(self)
        try:
            return checked(self._filter.end(trailers))
        except HTTPError:
            raise
        except BaseException as error:
            raise self.failure("end") from error


def checked(result: object) -> bytes:
    """Check and return the result of a filter.

    :raises TypeError: it is not bytes.
    """
    if isinstance(result, bytes):
        return result
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError("a filter with async methods is based on pingap.AsyncBodyFilter")
    raise TypeError(f"a body filter returns bytes, not {type(result).__name__}")


def _place(body_filter: AnyBodyFilter, method: str) -> str:
    """Return the place where a filter defines a method."""
    cls = type(innermost(body_filter))
    function = getattr(cls, method)
    work = getattr(cls, "_work", "")
    if work and function.__module__.startswith("pingap."):
        function = getattr(cls, work)
    return place_of_function(function)
