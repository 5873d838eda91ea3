"""Steps a coroutine from callbacks instead of a task, so that a request costs no task, future or lock.

Only awaits of plugins run in a task.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pingap.http.context import RequestContext
from pingap.http.errors import ClientGone, PingapError
from pingap.http.ports import Upstream
from pingap.http.request import Request
from pingap.observability.failures import REQUEST
from pingap.proxy.sides import Downstream
from pingap.proxy.suspending import suspend

if TYPE_CHECKING:
    from pingap.proxy.async_hooks import HookTasks, Outcome

log = logging.getLogger("pingap")

Connecting = TypeVar("Connecting", bound=Upstream)

_ENDED: Final = object()


def _close(connection: Upstream) -> None:
    connection.close()


class Stepping:
    """Continues a lifecycle whenever something it may wait for has happened."""

    downstream: Downstream
    """The client side, which is notified of the end."""
    request: Request
    ctx: RequestContext
    failure: PingapError | None
    """The error that ends the exchange; see ``raise_failure``."""

    lifecycle: Generator[None, None, None]
    """The iterator that ``step`` advances."""
    _book_closed = False
    _running = False

    def step(self) -> None:
        """Advance the lifecycle; returns when it waits, or has ended."""
        self._running = True
        try:
            # Unlike ``send``, this does not raise an exception at the end.
            ended = next(self.lifecycle, _ENDED) is not None
        except BaseException:  # for example a CancelledError of a plugin
            seen = {REQUEST: (self.request, self.ctx)}
            log.exception("request ended because of a bug in pingap: %r", self.request, extra=seen)
            self.downstream.cut()
            ended = True
        if ended:
            self.downstream.exchange_ended()
        else:
            self._running = False

    def wake(self) -> None:
        """Let the lifecycle check its condition again."""
        # Not needed within the lifecycle: it checks before it waits.
        if not self._running:
            self.step()

    def fail(self, failure: PingapError) -> None:
        """End the lifecycle with an error; the first one counts, or the disconnection of the client."""
        if self._book_closed:
            return
        if self.failure is None or isinstance(failure, ClientGone):
            self.failure = failure
            self.wake()

    @property
    def tasks(self) -> HookTasks:
        """Runs awaitables of plugins."""
        return self.downstream.tasks

    async def in_task(self, awaitable: Awaitable[Any], limit: float | None = None) -> Any:
        """Run an awaitable in a task, and return its result.

        :param limit: time limit in seconds; it is then cancelled.
        :raises PingapError: the client disconnected; the awaitable is cancelled.
        :raises TimeoutError: it took longer than the limit.
        :raises Exception: any exception of the awaitable.
        """
        return await self.finish(self.begin(awaitable, limit))

    def begin(self, awaitable: Awaitable[Any], limit: float | None = None) -> Outcome:
        """Start the task of ``in_task``.

        :param limit: time limit in seconds.
        """
        return self.downstream.tasks.start(awaitable, self.wake, limit)

    async def finish(self, outcome: Outcome) -> Any:
        """Return the result of what was begun; raises as ``in_task``.

        A result that came too late to be returned is discarded, if the outcome says how.
        """
        while not outcome.done:
            if self.failure is not None:
                outcome.cancel(self.failure)
            await suspend()
        if (error := self.failure or outcome.error) is not None:
            if outcome.value is not None and outcome.discard is not None:
                outcome.discard(outcome.value)
            raise error
        return outcome.value

    async def woken(self) -> None:
        """Return when something has happened, for callers that check for their own event.

        :raises PingapError: the exchange failed.
        """
        self.raise_failure()
        await suspend()
        self.raise_failure()

    async def outlast(self, outcome: Outcome) -> None:
        """Return when an awaitable has ended, with any result."""
        while not outcome.done:
            await suspend()

    async def connect(self, connecting: Awaitable[Connecting]) -> Connecting:
        """Return a new upstream connection; close it if the exchange no longer needs it.

        :raises PingapError: connecting failed, or the exchange failed in the meantime.
        """
        outcome = self.begin(connecting)
        outcome.discard = _close
        connection: Connecting = await self.finish(outcome)
        return connection

    def raise_failure(self) -> None:
        """Raise the error that ended the exchange, if there is one."""
        if self.failure is not None:
            raise self.failure

    def forgive(self) -> None:
        """Clear a failure that was handled, except the disconnection of the client."""
        if not isinstance(self.failure, ClientGone):
            self.failure = None

    def close_book(self) -> None:
        """Clear any failure: the remaining awaits do not concern the client."""
        self.failure = None
        self._book_closed = True
