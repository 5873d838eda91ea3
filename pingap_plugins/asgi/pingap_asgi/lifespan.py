"""The lifespan of an application: it is told before the first request, and after the last one."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Literal

from pingap_asgi.importing import told
from pingap_asgi.protocol import LIFESPAN_VERSION, VERSION, App, Message, ProtocolError

log = logging.getLogger("pingap.asgi")

Mode = Literal["auto", "on", "off"]


class LifespanFailed(Exception):
    """The application could not start."""


class Lifespan:
    """The conversation with one application.

    :param name: of the application, for the log.
    :param mode: ``auto``: an application that raises instead of answering has none.
    """

    def __init__(self, app: App, name: str, mode: Mode) -> None:
        self._app = app
        self._name = name
        self._mode = mode
        self.state: dict[str, Any] = {}
        """What the application has put into ``scope["state"]``."""
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._told = False  # the application has received ``lifespan.startup``
        self._answer: asyncio.Future[str] | None = None
        """Waits for what the application says of its start or end: empty, or why it failed."""

    async def start(self) -> None:
        """Return when the application has started.

        :raises LifespanFailed: it could not, with its reason.
        """
        if self._mode == "off":
            return
        self._answer = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(), name=f"lifespan of {self._name}")
        try:
            failure = await self._answer
        except BaseException:
            self._task.cancel()
            raise
        if failure:
            raise LifespanFailed(failure)

    async def stop(self) -> None:
        """Return when the application has ended; a failure is logged."""
        if self._task is None or self._task.done():
            return
        self._answer = asyncio.get_running_loop().create_future()
        self._stopping.set()
        try:
            if failure := await self._answer:
                log.error("%s could not shut down: %s", self._name, failure)
        finally:
            self._task.cancel()

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": VERSION, "spec_version": LIFESPAN_VERSION},
            "state": self.state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as error:
            self._on_error(error)
        finally:
            self._settle("")  # it has returned: it does not want to know more

    def _on_error(self, error: Exception) -> None:
        started = self._answer is None or self._answer.done() or self._stopping.is_set()
        if started:
            log.error("the lifespan of %s failed: %r", self._name, error, exc_info=error)
            self._settle("it raised an exception")
        elif self._mode == "on":
            self._settle(told(error))
        else:
            log.debug("%s has no lifespan: %r", self._name, error)

    async def _receive(self) -> Message:
        if not self._told:
            self._told = True
            return {"type": "lifespan.startup"}
        if not self._stopping.is_set() and self._answer is not None and not self._answer.done():
            # It takes this for a request, and would wait for its end.
            self._settle("it ignored lifespan.startup" if self._mode == "on" else "")
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        expected = "lifespan.shutdown." if self._stopping.is_set() else "lifespan.startup."
        if kind not in (f"{expected}complete", f"{expected}failed"):
            raise ProtocolError(f"the application sent {kind}, expected was {expected}complete")
        failed = kind.endswith("failed")
        self._settle((message.get("message") or "it gave no reason") if failed else "")

    def _settle(self, failure: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(failure)
