"""The running applications of a worker: each is started once, however many locations it serves.

A reload builds a new plugin instance for each changed location before it stops the old one. If both name the
same application, it goes on: starting it twice would run its lifespan twice on the same objects.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pingap import Origin, OriginCall
from pingap_asgi.http import HttpCycle
from pingap_asgi.importing import check_app, load, make_app
from pingap_asgi.lifespan import Lifespan, LifespanFailed, Mode
from pingap_asgi.protocol import App, Scope, is_of_client
from pingap_asgi.scope import asks_for_websocket, http_scope, websocket_scope
from pingap_asgi.time_limit import TimedCycle, TimeLimit
from pingap_asgi.websocket import WebSocketCycle, refusal

log = logging.getLogger("pingap.asgi")


@dataclass(frozen=True, slots=True)
class Target:
    """What identifies an application.

    :param name: ``package.module:attribute``.
    :param directory: searched for its module.
    :param factory: whether the attribute makes the application.
    :param lifespan: whether it is told of its start and end.
    """

    name: str
    directory: Path
    factory: bool
    lifespan: Mode


class Application:
    """A running application, and the tasks that serve its requests."""

    _running: ClassVar[dict[tuple[asyncio.AbstractEventLoop, Target], Application]] = {}

    def __init__(self, target: Target, loop: asyncio.AbstractEventLoop) -> None:
        self.target = target
        self._loop = loop
        self._users = 0
        self._started: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._context = contextvars.copy_context()
        self.app: App
        self.lifespan: Lifespan

    @classmethod
    async def acquire(cls, target: Target) -> Application:
        """Return the application of a target, started.

        :raises ValueError: it cannot be made.
        :raises LifespanFailed: it could not start.
        """
        loop = asyncio.get_running_loop()
        one = cls._running.get((loop, target))
        if one is None:
            one = cls._running[loop, target] = cls(target, loop)
            one._started = loop.create_task(one._start())
        one._users += 1
        assert one._started is not None
        try:
            await asyncio.shield(one._started)
        except BaseException:
            one._leave()
            raise
        return one

    async def release(self) -> None:
        """Stop it, unless others use it: its tasks end first, then its lifespan."""
        if not self._leave():
            return
        try:
            while self._tasks:  # such as work after a response, which may begin more
                await asyncio.wait(self._tasks)
            await self.lifespan.stop()
        finally:
            for task in self._tasks:
                task.cancel()

    def begin(
        self, call: OriginCall, cycle: HttpCycle | WebSocketCycle, scope: Scope
    ) -> asyncio.Task[None]:
        """Let the application handle a request, in a task and context variables of its own."""
        task = self._loop.create_task(
            _run(self.app, call, cycle, scope), context=self._context.copy()
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _start(self) -> None:
        target = self.target
        self.app = await asyncio.to_thread(_app, target)
        self.lifespan = Lifespan(self.app, target.name, target.lifespan)
        await self.lifespan.start()

    def _leave(self) -> bool:
        self._users -= 1
        if self._users:
            return False
        self._running.pop((self._loop, self.target), None)
        return True


def _app(target: Target) -> App:
    """Return the application; in a thread, since a function that makes one may take long."""
    found = load(target.name, target.directory)
    return (make_app if target.factory else check_app)(found, target.name)


async def _run(app: App, call: OriginCall, cycle: HttpCycle | WebSocketCycle, scope: Scope) -> None:
    failure: BaseException | None = None
    try:
        await app(scope, cycle.receive, cycle.send)
        if not (cycle.is_complete or call.is_gone):
            failure = RuntimeError("the application returned without a complete response")
    except Exception as error:
        failure = error
    except asyncio.CancelledError as error:
        if not (isinstance(cycle, TimedCycle) and cycle.timed_out):  # which was reported
            failure = RuntimeError("the application was cancelled")
            failure.__cause__ = error
    try:
        if failure is None:
            if isinstance(cycle, WebSocketCycle):
                cycle.end()
        elif is_of_client(failure) and (call.is_gone or isinstance(cycle, WebSocketCycle)):
            log.debug("%s: %r", call.name, failure)
        else:
            call.fail(failure)
    finally:
        call.release()
        failure = None  # its traceback refers to this frame


class AsgiOrigin(Origin):
    """Passes the requests of one location to an application.

    :param application: started before the first request.
    :param root_path: where it is mounted.
    :param limit: maximum size of a WebSocket message of a client in bytes.
    :param time_limit: of responses to HTTP requests; None for no limit.
    """

    application: Application

    def __init__(
        self, name: str, root_path: str, limit: int, time_limit: TimeLimit | None = None
    ) -> None:
        super().__init__(name)
        self._root_path = root_path
        self._limit = limit
        self._time_limit = time_limit

    def answer(self, call: OriginCall) -> None:
        """Begin to answer a request."""
        application = self.application
        state: dict[str, Any] = application.lifespan.state
        if not asks_for_websocket(call.request):
            scope = http_scope(call, self._root_path, state)
            if self._time_limit is None:
                application.begin(call, HttpCycle(call), scope)
            else:
                timed = TimedCycle(call)
                self._time_limit.add(timed, application.begin(call, timed, scope))
        elif (refused := refusal(call)) is not None:
            call.answer(*refused)
            call.release()
        else:
            cycle = WebSocketCycle(call, self._limit)
            application.begin(call, cycle, websocket_scope(call, self._root_path, state))


__all__ = ["Application", "AsgiOrigin", "LifespanFailed", "Target"]
