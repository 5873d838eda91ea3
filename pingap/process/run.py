"""A serving process from its command line to its exit code.

The order of a start matters: what only root may do comes before the switch to another user, files
that are opened again later are opened after it, and the last step before the old process of an
upgrade leaves is the file with our process id.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import anyio

from pingap._version import __version__
from pingap.builder import build
from pingap.config import Config, ConfigError
from pingap.config.watch import ConfigurationWatch
from pingap.configuration import load_configuration
from pingap.observability.access_log import split_setting
from pingap.observability.log_files import path_of
from pingap.observability.logs import set_up_logging
from pingap.plugins import Registry
from pingap.process.activation import ActivatedSockets
from pingap.process.daemon import DaemonError, Parent, daemonize, occupy_standard_streams
from pingap.process.listening import Inherited, Listening, open_all, workers_in_all, workers_of
from pingap.process.master import Master
from pingap.process.options import ServeOptions
from pingap.process.pid_file import PidFile, PidFileError
from pingap.process.plugin_tasks import leaves
from pingap.process.privileges import (
    PrivilegeError,
    account_problems,
    check_permitted,
    find_account,
    make_folder,
    make_over,
    switch_to,
)
from pingap.process.sockets import BindError
from pingap.process.succession import STARTED_BY, Succession
from pingap.process.supervisor import Base, StartError, Supervisor
from pingap.process.systemd import Notifier
from pingap.process.upgrade import HandOverError, TakeOver, wait_for_sockets

_FAILURES = (BindError, DaemonError, HandOverError, PidFileError, PrivilegeError, StartError)


def serve(options: ServeOptions) -> int:
    """Serve until a signal ends it; return the exit code.

    :raises ConfigError: the configuration is wrong.
    """
    occupy_standard_streams()
    start = _Start(options)
    with ExitStack() as background:
        try:
            start.check()
            if options.daemon:
                error_log = start.config.basic.error_log
                start.parent = background.enter_context(daemonize(error_log))
            start.take_sockets()
            return start.run()
        except ConfigError as error:
            start.give_up(str(error), 2)
            if start.parent is None:  # (otherwise that one tells)
                raise
            return 2
        except _FAILURES as error:
            start.give_up(f"pingap: {error}", 1)
            if start.parent is None:
                _say(f"pingap: {error}")
            return 1


class _Start:
    """The steps of a start, in their order."""

    def __init__(self, options: ServeOptions) -> None:
        self.options = options
        # Systemd means this process id: before anything is forked.
        self.notifier = Notifier.from_environment()
        self.inherited: Inherited = ActivatedSockets.from_environment()
        self.watch = ConfigurationWatch(options.conf) if options.watches else None
        self.registry = Registry()
        self.parent: Parent | None = None
        self.take_over: TakeOver | None = None
        self.config = load_configuration(options.read(), self.registry)
        self.sockets: list[Listening] = []
        self.pid_file = PidFile(self.config.basic.pid_file)

    def check(self) -> None:
        """Find out what would fail later.

        :raises ConfigError: there is no such user; for an upgrade: it cannot be built.
        :raises PrivilegeError: it cannot be switched to.
        """
        if problems := account_problems(self.config):
            raise ConfigError(problems)
        self.account = find_account(self.config.basic)
        if self.account is not None:
            check_permitted(self.account)
        by_hand = self.options.upgrade and not os.environ.pop(STARTED_BY, "")
        if by_hand and (self.account is None or self.account.is_current):
            # (As another user, it would open files that are not that user's.)
            build(self.config, Registry(), self.options.log).log_files.close()

    def take_sockets(self) -> None:
        """Open the listening sockets, or take them over, as whoever started this.

        :raises BindError: an address cannot be listened on.
        :raises HandOverError: no process handed its sockets over.
        """
        account, basic = self.account, self.config.basic
        if account is not None:
            for folder in _folders(self.config, self.options, self.pid_file.path):
                make_folder(folder, account)
        if self.options.upgrade:
            user = account.uid if account is not None else None
            self.take_over = wait_for_sockets(basic.upgrade_sock, user, self._waiting)
            self.inherited = self.take_over.inherited
        self.sockets = open_all(self.config, self.options.threads, self.inherited)
        if account is not None:
            for one in self.sockets:
                if one.text.startswith("unix:"):
                    make_over(Path(one.text.removeprefix("unix:")), account)

    def run(self) -> int:
        """Build what is served, and serve it as the configured user; return the exit code.

        :raises ConfigError: it cannot be built.
        :raises StartError: a worker cannot serve.
        """
        options, config = self.options, self.config
        if self.account is not None:
            switch_to(self.account)
        runtime = build(config, self.registry, options.log)
        for warning in (*config.warnings, *runtime.warnings):
            _say(f"warning: {warning}")
        for address in self.inherited.close_rest():
            _say(f"warning: no server listens on {address}, which was passed on")
        try:
            log_file, basic = runtime.log_files.open(options.log), config.basic
            set_up_logging(log_file, basic.log_level, as_json=basic.log_format_json)
            counts = {name: workers_of(config, name, options.threads) for name in config.servers}
            base = Base(runtime, counts, options.log, self.parent)
            workers = workers_in_all(config, options.threads)
            supervisor = Supervisor(base, self.sockets, workers)
            succession = Succession(options, self.notifier)
            master = Master(supervisor, options, succession, self.notifier, self.watch)
            # (asyncio's own loop: it is light, and a process that was forked leaves it behind.)
            try:
                anyio.run(master.run, self._ready, backend="asyncio")
            except* (StartError, PidFileError) as errors:
                raise StartError("; ".join(map(str, leaves(errors)))) from None
        finally:
            self.pid_file.remove()
            runtime.log_files.close()
        succession.leave()
        return 0

    def _waiting(self) -> None:
        """Say that the old process lets itself be waited for; whoever started this is to tell it."""
        text = "pingap waits for the one that runs to hand over its sockets: send that one SIGQUIT"
        if self.parent is None:
            _say(text)
        else:
            self.parent.succeeded(f"{text} (this is pid {os.getpid()})")

    def _ready(self) -> None:
        """Tell everybody that requests are served now."""
        _say(_announcement(self.config, self.sockets))
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
        """Tell whoever waits for this process that it ends."""
        if self.take_over is not None:
            self.take_over.failed(reason)
        if self.parent is not None:
            self.parent.failed(reason, code)


def _folders(config: Config, options: ServeOptions, pid_file: Path) -> list[Path]:
    """Return the folders in which files are opened by the user who serves."""
    targets = [split_setting(one.access_log)[0] or "" for one in config.servers.values()]
    files = [path for one in (options.log, *targets) if (path := path_of(one)) is not None]
    return [path.parent for path in (*files, pid_file, Path(config.basic.upgrade_sock))]


def _announcement(config: Config, sockets: list[Listening]) -> str:
    """Say what listens where."""
    label = f" ({name})" if (name := config.basic.name) else ""
    lines = [f"pingap {__version__}{label} is serving"]
    for one in sockets:
        settings = config.servers[one.server]
        scheme = "https" if settings.global_certificates else "http"
        url = one.text if one.text.startswith("unix:") else f"{scheme}://{one.text}"
        count = len(settings.locations)
        line = f"  {url:<32} {one.server}: {count} location{'s' if count != 1 else ''}"
        if line not in lines:  # workers may have sockets of their own
            lines.append(line)
    return "\n".join(lines)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
