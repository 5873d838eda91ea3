"""Handles notifications in the leading worker."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import anyio

from pingap.observability.notifications import Notification, WaitingNotifications
from pingap.observability.plugin_failures import PluginFailures
from pingap.plugins.foreign_code import end_tasks, is_from_outside
from pingap.plugins.process_hooks import Handler
from pingap.shared_state.bus import Bus

log = logging.getLogger("pingap")

HANDLER_SECONDS: Final = 30.0
"""How long an async handler of a notification may take."""


class NotificationService:
    """Calls ``pingap_notification`` for one notification after the other.

    :param bus: carries the notifications.
    :param handlers: returns the current implementations.
    :param failures: where those that raise are reported.
    """

    def __init__(
        self, bus: Bus, handlers: Callable[[], Sequence[Handler]], failures: PluginFailures
    ) -> None:
        self._waiting = WaitingNotifications(bus)
        self._handlers = handlers
        self._failures = failures
        self._leads = False
        self._news: asyncio.Event | None = None
        self._idle: asyncio.Event | None = None

    def lead(self) -> None:
        """Handle waiting and new notifications."""
        self._leads = True
        self._wake()

    def follow(self) -> None:
        """Leave waiting notifications to another worker; the current one is completed."""
        self._leads = False

    async def finish(self) -> None:
        """Return when nothing is being handled."""
        self._leads = False
        if self._idle is not None:
            await self._idle.wait()

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()

    async def run(self) -> None:
        """Handle notifications while this worker leads, until cancelled."""
        self._news, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._waiting.on_arrival = self._wake
        while True:
            self._news.clear()
            while self._leads and (event := self._waiting.take()) is not None:
                if handlers := self._handlers():
                    self._idle.clear()
                    try:
                        await self._handle(event, handlers)
                    finally:
                        self._idle.set()
            if dropped := self._waiting.dropped:
                self._waiting.dropped = 0
                if self._leads:
                    log.warning("%d notifications were dropped: too many waited", dropped)
            await self._news.wait()

    async def _handle(self, event: Notification, handlers: Sequence[Handler]) -> None:
        """Call all handlers; return when the async ones have ended, too."""
        tasks = []
        for handler in handlers:
            try:
                result = handler.call(event)
            except BaseException as error:
                self._report(handler, error)
                continue
            if inspect.isawaitable(result):
                run = self._run(handler, result)
                tasks.append(asyncio.create_task(run, name=f"{handler.name} notification"))
        if not tasks:
            return
        try:
            await asyncio.wait(tasks, timeout=HANDLER_SECONDS)
        finally:
            with anyio.CancelScope(shield=True):
                late = [task for task in tasks if not task.done()]
                await end_tasks(late)

    async def _run(self, handler: Handler, result: Awaitable[Any]) -> None:
        try:
            await result
        except BaseException as error:
            if is_from_outside(error):
                text = f"it took longer than {HANDLER_SECONDS:g} s, or the worker shut down"
                error = TimeoutError(text)
            self._report(handler, error)

    def _report(self, handler: Handler, error: BaseException) -> None:
        self._failures.report(handler.failure(error), "")
