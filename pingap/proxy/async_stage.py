"""Async body filters: a call at a time, what comes meanwhile waits, and results keep their order."""

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

    What goes wrong is reported to the exchange, never raised: most of it happens when nobody calls.
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
        """Bytes that the filter has not looked at yet."""
        self._quiet = False  # no more is at hand for now
        self._ended = False  # no more will come
        self._trailers: Headers
        self._method = ""  # that was called last
        self._pending: Outcome | None = None  # the call that is under way
        self._going = False  # inside _run
        self._filter_ended = False  # ``end`` was called
        self._over = False

    @property
    def wants_flush(self) -> bool:
        """Whether a flush makes a difference to it: also if chunks wait for company."""
        return self._flushes or self._filter.gather > 0

    def link(self, behind: Behind, chain: Pressure) -> None:
        """Take note of what gets the results."""
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
        """Flush the filter, and those behind it, once everything that waits was looked at."""
        self._quiet = True
        self.go_on()

    def end(self, trailers: Headers) -> None:
        """Take the end of the body."""
        self._ended, self._trailers = True, trailers
        self.go_on()

    def go_on(self) -> None:
        """Go on with what waits, if the filter is idle."""
        if not (self._going or self._over or self._pending is not None):
            self._run(None)

    def stop(self) -> Outcome | None:
        """Cancel the call that is under way, and do nothing more."""
        self._over = True
        self._inbox.clear()
        self.waiting = 0
        if self._pending is not None:
            self._pending.cancel(ClientGone())
        return self._pending

    def abandon(self, outcome: RequestOutcome) -> None:
        """Tell the filter that its body stays incomplete, unless it has got the end of it."""
        if self._filter_ended:
            self._filter._end_cancelled(outcome)
        else:
            self._filter.abandoned(outcome)

    def _run(self, done: Outcome | None) -> None:
        """Pass on the result of a call, and make further ones until one has to wait."""
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
            log.exception("a body filter of %s failed by a defect of pingap", self.owner.name)
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
        """Take a chunk out of the inbox, joined with those behind it as far as the filter wants."""
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
        """Take note that the call that was under way has ended."""
        done, self._pending = self._pending, None
        if self._over:
            self.holder.wake()  # it may wait for that
        else:
            self._run(done)

    def _pass_on(self, result: bytes) -> None:
        """Give the result of a call to what is behind.

        :raises PluginError: a filter behind failed.
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
