"""Async body filters: one call at a time; data waits in the meantime, and results keep their order."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from pingap.http.body_filters import AsyncBodyFilter
from pingap.http.errors import ClientGone, HTTPError, PingapError
from pingap.http.headers import Headers
from pingap.http.outcome import RequestOutcome
from pingap.plugins.chains import Owner
from pingap.proxy.filter_stages import Behind, Holder, Pressure, Stage, checked

if TYPE_CHECKING:
    from pingap.proxy.async_hooks import Outcome

log = logging.getLogger("pingap")


class AsyncStage(Stage):
    """A filter whose calls are run in the tasks of hooks.

    Errors are reported to the exchange, never raised, because most of them happen outside of a call.
    """

    __slots__ = (
        "_chain",
        "_ended",
        "_filter_ended",
        "_going",
        "_inbox",
        "_method",
        "_over",
        "_pending",
        "_quiet",
        "_trailers",
        "waiting",
    )

    _filter: AsyncBodyFilter

    def __init__(self, holder: Holder, body_filter: AsyncBodyFilter, owner: Owner) -> None:
        super().__init__(holder, body_filter, owner)
        self._chain: Pressure
        self._inbox: deque[bytes] = deque()
        self.waiting = 0
        """Data that the filter has not handled yet."""
        self._quiet = False  # no more data is available for now
        self._ended = False  # no more data will arrive
        self._trailers: Headers
        self._method = ""  # the last one called
        self._pending: Outcome | None = None  # the call in progress
        self._going = False  # inside _run
        self._filter_ended = False  # ``end`` has been called
        self._over = False

    @property
    def wants_flush(self) -> bool:
        """Whether it needs flushes, also because chunks wait to be joined."""
        return self._flushes or self._filter.gather > 0

    def link(self, behind: Behind, chain: Pressure) -> None:
        """Set the receiver of the results."""
        super().link(behind, chain)
        self._chain = chain

    def feed(self, chunk: bytes) -> None:
        """Take a chunk."""
        if not self._over:
            self._inbox.append(chunk)
            self.waiting += len(chunk)
            self._quiet = False
            if self._pending is None:
                self.go_on()
            else:
                self._chain.update()

    def flush(self) -> None:
        """Flush the filter and the next ones, once all waiting data has been handled."""
        self._quiet = True
        self.go_on()

    def end(self, trailers: Headers) -> None:
        """Handle the end of the body."""
        self._ended, self._trailers = True, trailers
        self.go_on()

    def go_on(self) -> None:
        """Continue with waiting data, if the filter is idle."""
        if not (self._going or self._over or self._pending is not None):
            self._run(None)

    def stop(self) -> Outcome | None:
        """Cancel the call in progress, and do nothing more."""
        self._over = True
        self._inbox.clear()
        self.waiting = 0
        if self._pending is not None:
            self._pending.cancel(ClientGone())
        return self._pending

    def abandon(self, outcome: RequestOutcome) -> None:
        """Notify the filter that its body stays incomplete, unless it has received the end."""
        if self._filter_ended:
            self._filter._end_cancelled(outcome)
        else:
            self._filter.abandoned(outcome)

    def _run(self, done: Outcome | None) -> None:
        """Pass on the result of a call, and make more calls until one has to wait."""
        failure: PingapError | None = None
        self._going = True
        try:
            if done is not None:
                self._pass_on(self._result(done))
            while not self._over and self._pending is None and self._chain.has_room_behind(self):
                if not self._begin_next():
                    break
        except PingapError as error:
            failure = error
        except Exception:
            log.exception("a body filter of %s failed because of a bug in pingap", self.owner.name)
            failure = HTTPError(500, "Internal error")
        self._going = False
        if failure is None:
            self._chain.update()
        else:
            self._over = True
            self.holder.fail(failure)

    def _begin_next(self) -> bool:
        """Make the next call; return False if there is none for now."""
        if self._inbox and (self._quiet or self._ended or self.waiting >= self._filter.gather):
            self._fed = True
            self._call("feed", self._take())
        elif self._inbox:
            return False
        elif self._ended:
            self._filter_ended = True
            self._call("end", self._trailers)
        elif self._quiet:
            self._quiet = False
            if self._flushes and self._fed:
                self._fed = False
                self._call("flush")
            else:
                self._behind.flush()
        else:
            return False
        return True

    def _take(self) -> bytes:
        """Take a chunk from the inbox, joined with the next ones up to the filter's limit."""
        chunks = [self._inbox.popleft()]
        size = len(chunks[0])
        while self._inbox and size + len(self._inbox[0]) <= self._filter.gather:
            chunks.append(self._inbox.popleft())
            size += len(chunks[-1])
        self.waiting -= size
        return b"".join(chunks) if len(chunks) > 1 else chunks[0]

    def _call(self, method: str, *arguments: bytes | Headers) -> None:
        self._method = method
        try:
            at_once = self._filter._at_once(method, *arguments)
            if at_once is None:
                awaitable = getattr(self._filter, method)(*arguments)
            else:
                checked(at_once)
        except HTTPError:
            raise
        except BaseException as error:
            raise self.failure(method) from error
        if at_once is not None:
            self._pass_on(at_once)
            return
        self._pending = self.holder.tasks.start(awaitable, self._on_done, self.owner.timeout)

    def _on_done(self) -> None:
        """Handle the end of the call in progress."""
        done, self._pending = self._pending, None
        if self._over:
            self.holder.wake()  # it may wait for that
        else:
            self._run(done)

    def _pass_on(self, result: bytes) -> None:
        """Pass the result of a call to the next stage.

        :raises PluginError: a later filter failed.
        """
        method = self._method
        if method == "end":
            self._over = True
            self.holder.filters.remove(self)
        if result:
            self._behind.feed(result)
        if method == "end":
            self._behind.end(self._trailers)
            self.holder.wake()
        elif method == "flush":
            self._behind.flush()

    def _result(self, outcome: Outcome) -> bytes:
        """Return the result of a call.

        :raises PluginError: it failed.
        """
        error: Exception | None = outcome.error
        if isinstance(error, PingapError):
            raise error
        if error is None:
            try:
                return checked(outcome.value)
            except TypeError as wrong:
                error = wrong
        raise self.failure(self._method) from error
