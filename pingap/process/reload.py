"""Taking a changed configuration into running workers: all of them, or none.

The supervisor builds it first, which finds nearly every mistake; then each worker builds it beside
what it serves, and when all are ready they are told to swap. Requests under way end as they began.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Collection
from typing import Final

import anyio

from pingap.builder import Runtime, build
from pingap.config import Config, ConfigError, Snapshot
from pingap.config.changes import changes_between, changes_text
from pingap.config.file_values import named_files, watched_files
from pingap.config.restart import needs_restart
from pingap.config.watch import ConfigurationWatch
from pingap.configuration import load_configuration
from pingap.observability.logs import set_log_level
from pingap.process.child import Child
from pingap.process.supervisor import Supervisor
from pingap.process.time_limit import time_limit
from pingap.settings_models import settings_models

log = logging.getLogger("pingap")

PREPARE_SECONDS: Final = 60.0
"""How long a worker may take to build a configuration and to start its plugins."""


class Reloader:
    """Reloads; only one reload is under way at a time.

    :param supervisor: of the workers.
    :param read: reads the configuration's texts.
    :param watch: knows the files that were read.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        read: Callable[[], Snapshot],
        watch: ConfigurationWatch | None = None,
    ) -> None:
        self._supervisor = supervisor
        self._read = read
        self._watch = watch
        self._lock = anyio.Lock()
        self._at_start = supervisor.base.runtime.config
        """What listens, and how many work, is from here."""

    async def reload(self) -> list[str]:
        """Read the configuration and serve by it; if it cannot be served, nothing changes.

        :returns: the changes that only a new process can take over.
        """
        async with self._lock:
            old = self._supervisor.base.runtime
            if self._watch is not None:
                self._watch.know()
            snapshot = self._read()
            try:
                # (A supervisor that is held up by a plugin could replace no worker.)
                with time_limit(old.config.basic.worker_timeout):
                    config = self._load(snapshot, old)
                    target = self._supervisor.base.log_target
                    new = build(config, old.registry, target, previous=old)
            except ConfigError as error:
                log.error("the configuration stays as it was; the new one is wrong:\n%s", error)  # noqa: TRY400
                return []
            for warning in (*config.warnings, *new.warnings):
                log.warning("%s", warning)
            restart = needs_restart(self._at_start, config)
            if await self._change(snapshot, new):
                self._tell(old, new, restart)
                return restart
            return []

    def _load(self, snapshot: Snapshot, old: Runtime) -> Config:
        """Load the configuration; from here on the files that it names are watched, too."""
        files: Collection[str] = ()
        try:
            config = load_configuration(snapshot, old.registry)
            files = watched_files(config)
        except ConfigError:
            files = {*watched_files(old.config), *named_files(snapshot)}
            raise
        finally:
            if self._watch is not None:
                self._watch.watch(files)
        return config

    async def _change(self, snapshot: Snapshot, new: Runtime) -> bool:
        supervisor, old = self._supervisor, self._supervisor.base.runtime
        text = snapshot.to_bytes().decode()
        async with supervisor.forking:
            children = list(supervisor.children.values())
            failures = await self._prepare(children, text)
            outcome = "discard" if failures else "swap"
            for child in children:
                child.channel.send(outcome)
            if failures:
                log.error(
                    "the configuration stays as it was; the new one cannot be served: %s",
                    "; ".join(dict.fromkeys(failures)),
                )
                return False
            supervisor.base.runtime = new
        new.take_effect()
        new.forget_others(supervisor.news)
        old.release([new])
        set_log_level(new.config.basic.log_level)
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        return True

    async def _prepare(self, children: list[Child], snapshot: str) -> list[str]:
        """Let workers build a configuration; return why it cannot be, where it cannot."""
        failures: list[str] = []
        ended: list[str] = []

        async def ask(child: Child) -> None:
            answer = await child.channel.ask("prepare", PREPARE_SECONDS, snapshot=snapshot)
            if answer is None:
                if child.ended.is_set() or child.channel.is_broken:
                    ended.append(child.name)
                else:
                    failures.append(f"{child.name} was not ready within {PREPARE_SECONDS:g} s")
            elif answer["failure"]:
                failures.append(answer["failure"])

        async with anyio.create_task_group() as tasks:
            for child in children:
                tasks.start_soon(ask, child)
        # One that was killed meanwhile begins with the new configuration. But nothing says that it
        # can be served if it has ended all of them.
        if not failures and len(ended) == len(children):
            failures = [f"{name} ended while it prepared it" for name in ended]
        return failures

    def _tell(self, old: Runtime, new: Runtime, restart: list[str]) -> None:
        models = settings_models(old.plugins, new.plugins)
        text = changes_text(changes_between(old.config, new.config, models))
        log.info(
            "the configuration was reloaded%s", f":\n{text}" if text else "; its text is the same"
        )
        if restart:
            log.warning("needs a restart to take effect: %s", ", ".join(restart))
