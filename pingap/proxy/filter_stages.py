"""A body filter in its place: it gets what the filter before lets out, and feeds the one behind."""

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
    """What takes the results of a filter: the next one, or the way to the sink."""

    def feed(self, chunk: bytes) -> None:
        """Take a chunk; never empty."""

    def flush(self) -> None:
        """Let out what can be sent of what was kept."""

    def end(self, trailers: Headers) -> None:
        """Take the end of the body."""


class Holder(Protocol):
    """The exchange of a filter, as far as it concerns the filter."""

    filters: list[Stage]
    """Those that neither have got the end of their body nor were abandoned."""

    @property
    def tasks(self) -> HookTasks:
        """Where what plugins await is run."""

    def fail(self, failure: PingapError) -> None:
        """End the exchange."""

    def wake(self) -> None:
        """Let the lifecycle look again at what it waits for."""


class Pressure(Protocol):
    """The chain of a filter, which knows how much waits where."""

    def has_room_behind(self, stage: Stage) -> bool:
        """Return whether what the filter lets out will be taken."""

    def update(self) -> None:
        """Take note that less, or more, waits for a filter."""


class Stage(ABC):
    """A filter of one body, called in the right way and blamed for what it does.

    :param holder: the exchange.
    :param owner: the plugin instance it belongs to.
    """

    __slots__ = ("_behind", "_fed", "_filter", "_flushes", "holder", "owner")

    def __init__(self, holder: Holder, body_filter: AnyBodyFilter, owner: Owner) -> None:
        self.holder = holder
        self._filter = body_filter
        self._behind: Behind
        self._flushes = overrides_flush(body_filter)
        self._fed = False  # since it was flushed
        self.owner = owner

    @property
    def wants_flush(self) -> bool:
        """Whether a flush makes a difference to it."""
        return self._flushes

    @property
    def hold_head(self) -> int:
        """See :class:`BodyFilter`."""
        return self._filter.hold_head

    def link(self, behind: Behind, chain: Pressure) -> None:
        """Take note of what gets the results."""
        self._behind = behind

    @abstractmethod
    def feed(self, chunk: bytes) -> None:
        """Take a chunk; never empty."""

    @abstractmethod
    def flush(self) -> None:
        """Flush the filter, and those behind it."""

    @abstractmethod
    def end(self, trailers: Headers) -> None:
        """Take the end of the body."""

    def stop(self) -> Outcome | None:
        """Do nothing more; return a call that was cancelled and has not ended yet."""
        return None

    def abandon(self, outcome: RequestOutcome) -> None:
        """Tell the filter that its body stays incomplete."""
        self._filter.abandoned(outcome)

    def failure(self, method: str) -> PluginError:
        """Return the error for a call that raised something."""
        return PluginError(self.owner.name, "body filter", _place(self._filter, method))


class SyncStage(Stage):
    """A filter that is called."""

    __slots__ = ()

    _filter: BodyFilter

    def feed(self, chunk: bytes) -> None:
        """Take a chunk.

        :raises PluginError: this filter failed, or one behind it.
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

    def flush(self) -> None:
        """Flush the filter, and those behind it; raises as ``feed``."""
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
        """Take the end of the body; raises as ``feed``."""
        self.holder.filters.remove(self)
        try:
            rest = checked(self._filter.end(trailers))
        except HTTPError:
            raise
        except BaseException as error:
            raise self.failure("end") from error
        if rest:
            self._behind.feed(rest)
        self._behind.end(trailers)


def checked(result: object) -> bytes:
    """Return what a filter returned.

    :raises TypeError: it is not bytes.
    """
    if isinstance(result, bytes):
        return result
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError("a filter with async methods is based on pingap.AsyncBodyFilter")
    raise TypeError(f"a body filter returns bytes, not {type(result).__name__}")


def _place(body_filter: AnyBodyFilter, method: str) -> str:
    """Return where a filter says what it returns."""
    cls = type(innermost(body_filter))
    function = getattr(cls, method)
    work = getattr(cls, "_work", "")
    if work and function.__module__.startswith("pingap."):
        function = getattr(cls, work)
    return place_of_function(function)
