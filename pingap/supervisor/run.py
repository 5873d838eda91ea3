"""A serving process from its command line to its exit code.

The order of a start matters: steps that need root come before the switch to another user; files that
are reopened later are opened after it; and writing the PID file is the last step before the old process
of an upgrade exits.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import ExitStack, suppress
from functools import partial
from typing import Final

import anyio

from pingap._version import __version__
from pingap.build.graph import build
from pingap.build.loading import load_configuration
from pingap.build.log_targets import has_word
from pingap.build.machine import folder_problems, refuse, start_problems
from pingap.build.registry import installed_registry
from pingap.config import Config, ConfigError
from pingap.config.file_values import watched_files
from pingap.config.storage.files import watch_of_files
from pingap.config.storage.interface import ConfigStorage
from pingap.host.daemon import DaemonError, Parent, daemonize, occupy_standard_streams
from pingap.host.early_signals import hold_signals
from pingap.host.pid_file import PidFile, PidFileError
from pingap.host.privileges import (
    Account,
    PrivilegeError,
    check_permitted,
    find_account,
    switch_to,
)
from pingap.host.sockets import listen
from pingap.host.systemd import Notifier
from pingap.observability.log_files import LogFiles
from pingap.observability.logs import json_line, set_up_logging
from pingap.plugins.services import leaves
from pingap.supervisor.activation import ActivatedSockets
from pingap.supervisor.base import Base, StartError
from pingap.supervisor.control_place import folders_to_use
from pingap.supervisor.control_socket import ControlSocket
from pingap.supervisor.master import Master
from pingap.supervisor.options import ServeOptions
from pingap.supervisor.succession import STARTED_BY, Succession
from pingap.supervisor.supervisor import Supervisor
from pingap.supervisor.upgrade import HandOverError, TakeOver, wait_for_sockets
from pingap.worker.listening import (
    Inherited,
    ListenError,
    Listening,
    open_all,
    workers_in_all,
    workers_of,
)

_FAILURES = (ListenError, DaemonError, HandOverError, PidFileError, PrivilegeError, StartError)
_KEY: Final = re.compile(r"basic\.(\w+): ")


def serve(options: ServeOptions) -> int:
    """Serve until a signal ends it; return the exit code.

    :raises ConfigError: the configuration is wrong.
    """
    hold_signals()
    occupy_standard_streams()
    start = _Start(options)
    with ExitStack() as background:
        try:
            start.check()
            if options.daemon:
                error_log = start.config.basic.error_log
                start.parent = background.enter_context(daemonize(error_log, start.account))
            start.take_sockets()
            return start.run()
        except ConfigError as error:
            start.give_up(str(error), 2)
            if start.parent is None:  # otherwise the parent reports it
                raise
            return 2
        except _FAILURES as error:
            text = start.located(error)
            start.give_up(text, 1)
            if start.parent is None:
                _say(text)
            return 1


class _Start:
    """The steps of a start, in order."""

    def __init__(self, options: ServeOptions) -> None:
        self.options = options
        # Before anything is forked: systemd means this process ID.
        self.notifier = Notifier.from_environment()
        self.inherited: Inherited = ActivatedSockets.from_environment()
        self.registry = installed_registry()
        self.watch = watch_of_files(self.make_storage()) if options.watches else None
        self.parent: Parent | None = None
        self.take_over: TakeOver | None = None
        self.config = load_configuration(options.read(self.registry), self.registry)
        if self.watch is not None:  # before they are used: a change from here on is noticed
            self.watch.watch(watched_files(self.config))
        self.sockets: list[Listening] = []
        self.spare: list[Listening] = []
        self.account: Account | None = None
        self.pid_file = PidFile(self.config.basic.pid_file)

    def check(self) -> None:
        """Check for failures that would otherwise happen later.

        :raises ConfigError: an unknown user or host, or no server; for an upgrade, also build errors.
        :raises PrivilegeError: the process cannot switch to the user.
        """
        refuse(start_problems(self.config))
        self.account = find_account(self.config.basic)
        if self.account is not None:
            check_permitted(self.account)
        by_hand = self.options.upgrade and not os.environ.pop(STARTED_BY, "")
        if by_hand and (self.account is None or self.account.is_current):
            # Otherwise it would read files that the configured user cannot read.
            build(self.config, installed_registry(), self.options.log, LogFiles(opens=False))

    def take_sockets(self) -> None:
        """Open the listening sockets, or take them over, as the user who started this process.

        :raises ConfigError: a directory cannot be created.
        :raises ListenError: addresses cannot be listened on.
        :raises HandOverError: no process handed its sockets over.
        """
        account, config = self.account, self.config
        if account is not None:
            log, pid_file = self.options.log, self.pid_file.path
            refuse(list(folder_problems(config, log, pid_file, account, self._is_file)))
        if self.options.upgrade:
            self.take_over = wait_for_sockets(config.basic.upgrade_sock, account, self._waiting)
            self.inherited = self.take_over.inherited
        open_one = partial(listen, account=account)
        self.sockets = open_all(config, self.options.threads, self.inherited, open_one=open_one)
        if isinstance(self.inherited, ActivatedSockets):
            self.spare = self.inherited.take_rest()

    def _is_file(self, target: str) -> bool:
        return not has_word(target, self.registry)

    def located(self, error: Exception) -> str:
        """Return the message of an error, with the place in the configuration of the key that it names."""
        text = str(error)
        found = _KEY.match(text)
        if found is None:
            return text if isinstance(error, ListenError) else f"pingap: {text}"
        return str(self.config.source.problem(("basic", found[1]), text[found.end() :]))

    def run(self) -> int:
        """Build the configuration, and serve it as the configured user; return the exit code.

        :raises ConfigError: it cannot be built.
        :raises StartError: a worker cannot serve.
        """
        options, config = self.options, self.config
        folders = folders_to_use(config.basic.pid_file, self.account)
        if self.account is not None:
            switch_to(self.account)
        runtime = build(config, self.registry, options.log)
        for warning in (*config.warnings, *runtime.warnings):
            self._report(f"warning: {warning}", "WARN")
        for address in [*(one.server for one in self.spare), *self.inherited.close_rest()]:
            self._report(f"warning: no server listens on {address}, which was passed on", "WARN")
        control = None
        try:
            log_file, basic = runtime.log_files.open(options.log), config.basic
            set_up_logging(log_file, basic.log_level, as_json=basic.log_format_json)
            counts = {name: workers_of(config, name, options.threads) for name in config.servers}
            base = Base(runtime, counts, options.log, self.parent, self.make_storage)
            base.control = control = ControlSocket(folders)
            workers = workers_in_all(config, options.threads)
            supervisor = Supervisor(base, self.sockets, workers, self.spare)
            succession = Succession(options, self.notifier)
            master = Master(
                supervisor, options, succession, self.notifier, self.watch, self.make_storage()
            )
            # asyncio's own loop: it is lightweight, and a forked process can discard it.
            try:
                anyio.run(master.run, self._ready, backend="asyncio")
            except* (StartError, PidFileError) as errors:
                raise StartError("; ".join(map(str, leaves(errors)))) from None
        finally:
            if control is not None:
                control.close()
            self.pid_file.remove()
            runtime.log_files.close()
        succession.leave()
        return 0

    def make_storage(self) -> ConfigStorage:
        """Return the storage of the configuration, for one process."""
        return self.options.storage(self.registry)

    def _report(self, text: str, level: str = "INFO") -> None:
        """Print a message to standard error; as JSON if the log goes there and is JSON."""
        if self.config.basic.log_format_json and not self.options.log:
            text = json_line(level, {"message": text})
        _say(text)

    def _waiting(self) -> None:
        """Report that this process waits for the old one, which has to be signalled from outside."""
        text = (
            "pingap is waiting for the running instance to hand over its sockets: send it SIGQUIT"
        )
        if self.parent is None:
            self._report(text)
        else:
            self.parent.succeeded(f"{text} (this is pid {os.getpid()})")

    def _ready(self) -> None:
        """Notify all waiting processes that requests are served now."""
        self._report(_announcement(self.config, self.sockets))
        if self.options.daemon:
            self.pid_file.write()
        self.notifier.ready(f"serving with pid {os.getpid()}")
        if self.take_over is not None:
            self.take_over.succeeded()
        if self.parent is not None:
            self.parent.succeeded(
                f"pingap {__version__} is serving in the background, pid {os.getpid()}"
            )

    def give_up(self, reason: str, code: int) -> None:
        """Notify the parent, if it waits, that this process ends."""
        if self.take_over is not None:
            self.take_over.failed(reason)
        if self.parent is not None:
            self.parent.failed(reason, code)


def _announcement(config: Config, sockets: list[Listening]) -> str:
    """Return the addresses of all servers, as text."""
    label = f" ({name})" if (name := config.basic.name) else ""
    lines = [f"pingap {__version__}{label} is serving"]
    for one in sockets:
        settings = config.servers[one.server]
        scheme = "https" if settings.global_certificates else "http"
        url = one.text if one.text.startswith("unix:") else f"{scheme}://{one.text}"
        count = len(settings.locations)
        line = f"  {url:<32} {one.server}: {count} location{'s' if count != 1 else ''}"
        if line not in lines:  # each worker may have its own socket
            lines.append(line)
    return "\n".join(lines)


def _say(text: str) -> None:
    with suppress(OSError):  # the disk is full, or the reader is gone
        print(text, file=sys.stderr, flush=True)  # noqa: T201
