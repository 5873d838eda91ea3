"""Starts the process that replaces this one, and leaves its place to it."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import Final

from pingap.host.early_signals import HELD
from pingap.host.systemd import Notifier
from pingap.supervisor.options import ServeOptions
from pingap.supervisor.upgrade import HandOverError
from pingap.supervisor.waiter import (
    PASSED_ON,
    VARIABLE,
    adopt_orphans,
    become_waiter,
    is_sent_by_terminal,
    last_told,
    tell_waiter,
)

STARTED_BY: Final = "PINGAP_STARTED_BY"
"""Marks a process as started by the one that it replaces, which wants to know if it fails."""
_FLAGS: Final = ("-u", "--upgrade")


class Succession:
    """Knows the process that waits for this one, and what to do about it once another one serves.

    In the background, no process waits. Systemd is notified of the new process. Otherwise a shell or a
    container waits for the process that was started first, which therefore stays (see ``waiter``).

    :param options: of the command line.
    :param notifier: to systemd.
    """

    def __init__(self, options: ServeOptions, notifier: Notifier) -> None:
        self._options = options
        self._notifier = notifier
        self._successor = 0
        self._reading = -1
        self._writing = int(os.environ.pop(VARIABLE, "-1"))  # to an existing waiter
        if self._writing >= 0:
            os.set_inheritable(self._writing, False)

    @property
    def _is_waited_for(self) -> bool:
        return not self._options.daemon and not self._notifier.is_usable

    def start(self) -> int:
        """Start a process with the same arguments that waits to take over; return its process ID.

        :raises HandOverError: it cannot be started.
        """
        arguments = self._options.arguments
        added = [] if set(_FLAGS).intersection(arguments) else [_FLAGS[-1]]
        command = [sys.executable, "-m", "pingap", *arguments, *added]
        environment = {**os.environ, **self._notifier.environment, STARTED_BY: str(os.getpid())}
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        ]
        if self._is_waited_for:
            if self._writing < 0:
                self._reading, self._writing = os.pipe()
                os.set_blocking(self._reading, False)
                adopt_orphans()  # the successor may be replaced before this process has drained
            environment[VARIABLE] = str(self._writing)
            os.set_inheritable(self._writing, True)
        try:
            return os.posix_spawn(
                sys.executable, command, environment, file_actions=actions, setsigmask=HELD
            )
        except OSError as error:
            raise HandOverError(f"it cannot be started: {error.strerror}") from None
        finally:
            if self._writing >= 0:
                os.set_inheritable(self._writing, False)

    def on_success(self, successor: int) -> None:
        """Record that a process started here now serves."""
        self._successor = successor
        self._notifier.main_pid(successor)
        if self._reading < 0 and self._writing >= 0:
            tell_waiter(self._writing, successor)

    @property
    def _stays(self) -> bool:
        return bool(self._successor) and self._is_waited_for and self._reading >= 0

    def pass_on(self, number: signal.Signals) -> bool:
        """Pass a signal on to the process that serves, if it is meant for it; return whether it is."""
        if self._stays and not is_sent_by_terminal(number):
            self._successor = last_told(self._reading) or self._successor
            with suppress(ProcessLookupError):
                os.kill(self._successor, number)
        return self._stays

    def block_signals(self) -> None:
        """Block signals for the process that serves, until they can be passed on to it."""
        if self._stays:
            signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)

    def leave(self) -> None:
        """Exit, or become a waiter if the parent waits; does not return in that case."""
        if self._stays:
            become_waiter(last_told(self._reading) or self._successor, self._reading)
