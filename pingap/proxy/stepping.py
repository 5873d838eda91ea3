"""A coroutine that is no task: stepped from callbacks, so that a request costs no task, future or lock.

Only what a plugin awaits runs in a task.
"""

from __future__ import annotations

import logging
import types
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pingap.http.context import RequestContext
from pingap.http.errors import ClientGone, PingapError
from pingap.http.messages import Request
from pingap.http.ports import Upstream
from pingap.observability.failures import REQUEST
from pingap.proxy.sides import Downstream

if TYPE_CHECKING:
    from pingap.proxy.async_hooks import HookTasks, Outcome

log = logging.getLogger("pingap")

Connecting = TypeVar("Connecting", bound=Upstream)

_ENDED: Final = object()


def _close(connection: Upstream) -> None:
    connection.close()


@types.coroutine
def suspend() -> Generator[None, None, None]:
    """Return when a callback wakes the exchange."""
    yield


class Stepping:
    """Goes on with a lifecycle whenever something it may wait for has happened."""

    downstream: Downstream
    """The client's side, which is told of the end."""
    request: Request
    ctx: RequestContext
    failure: PingapError | None
    """What ends the exchange; see ``raise_failure``."""

    lifecycle: Generator[None, None, None]
    """What ``step`` goes on with."""
    _book_closed = False
    _running = False

    def step(self) -> None:
        """Go on with the lifecycle; returns when it waits, or has ended."""
        self._running = True
        try:
            # (Unlike ``send``, this makes no exception of the end.)
            ended = next(self.lifecycle, _ENDED) is not None
        except BaseException:  # a CancelledError of a plugin, say
            seen = {REQUEST: (self.request, self.ctx)}
            log.exception("request ended by a defect of pingap: %r", self.request, extra=seen)
            self.downstream.cut()
            ended = True
        if ended:
            self.downstream.exchange_ended()
        else:
            self._running = False

    def wake(self) -> None:
        """Let the lifecycle look again at what it waits for."""
        # Called from within the lifecycle there is nothing to wake: it looks before it waits.
        if not self._running:
            self.step()

    def fail(self, failure: PingapError) -> None:
        """Let the lifecycle end for a reason; the first one counts, or that the client left."""
        if self._book_closed:
            return
        if self.failure is None or isinstance(failure, ClientGone):
            self.failure = failure
            self.wake()

    @property
    def tasks(self) -> HookTasks:
        """Where what plugins await is run."""
        return self.downstream.tasks

    async def in_task(self, awaitable: Awaitable[Any], limit: float | None = None) -> Any:
        """Run something that awaits in a task, and return its result.

        :param limit: seconds it may take; after them it is cancelled.
        :raises PingapError: the client left; what was awaited is cancelled.
        :raises TimeoutError: it took longer than the limit.
        :raises Exception: whatever the awaitable raises.
        """
        return await self.finish(self.begin(awaitable, limit))

    def begin(self, awaitable: Awaitable[Any], limit: float | None = None) -> Outcome:
        """Begin what ``in_task`` does.

        :param limit: seconds it may take.
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
        """Return when something has happened, for callers that look whether it was theirs.

        :raises PingapError: the exchange failed.
        """
        self.raise_failure()
        await suspend()
        self.raise_failure()

    async def outlast(self, outcome: Outcome) -> None:
        """Return when something has ended, however that was."""
        while not outcome.done:
            await suspend()

    async def connect(self, connecting: Awaitable[Connecting]) -> Connecting:
        """Return a new upstream connection; close it if the exchange no longer needs it.

        :raises PingapError: connecting failed, or the exchange failed meanwhile.
        """
        outcome = self.begin(connecting)
        outcome.discard = _close
        connection: Connecting = await self.finish(outcome)
        return connection

    def raise_failure(self) -> None:
        """Raise what ended the exchange, if something did."""
        if self.failure is not None:
            raise self.failure

    def forgive(self) -> None:
        """Forget a failure that was dealt with. That the client left is not forgotten."""
        if not isinstance(self.failure, ClientGone):
            self.failure = None

    def close_book(self) -> None:
        """Forget every failure: what is still awaited is of no concern to the client."""
        self.failure = None
        self._book_closed = True
