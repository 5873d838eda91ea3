"""Applies a changed configuration to running workers: to all of them, or to none.

The supervisor builds it first, which finds nearly every error, and opens new listening sockets. Then each
worker builds it beside its current one, and when all are ready, they swap. Requests in progress continue
with the old one.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Collection, Iterable
from typing import Final

import anyio

from pingap.build.graph import build
from pingap.build.loading import load_configuration, read_from
from pingap.build.machine import refuse, start_problems
from pingap.build.runtime import Runtime
from pingap.build.storages import formats_of
from pingap.config import Config, ConfigError, Problem, Snapshot
from pingap.config.changes import changes_between, changes_text
from pingap.config.file_values import named_files, watched_files
from pingap.config.problem import dotted
from pingap.config.restart import needs_restart
from pingap.config.storage.cache import SnapshotCache
from pingap.config.storage.errors import StorageError
from pingap.config.storage.history import ConfigNote
from pingap.config.storage.interface import ConfigStorage
from pingap.config.watch import ConfigurationWatch
from pingap.host.time_limit import time_limit
from pingap.observability.logs import set_log_level
from pingap.observability.notifications import INFO
from pingap.plugins.instance import ReloadResult
from pingap.plugins.settings_models import settings_models
from pingap.supervisor.child import Child
from pingap.supervisor.options import ServeOptions
from pingap.supervisor.recording import Recorder
from pingap.supervisor.supervisor import Supervisor, numbers_of
from pingap.worker.listening import ListenError, Listening, of_worker, workers_of
from pingap.worker.relisten import Relisting, relisten

log = logging.getLogger("pingap")

PREPARE_SECONDS: Final = 60.0
"""How long a worker may take to build a configuration and to start its plugins."""
SWAP_SECONDS: Final = 5.0
"""How long to wait for a worker to serve what it has prepared."""

_STAYS: Final = "the configuration stays as it was"


class RefusedError(Exception):
    """A configuration is not served; the reason has been logged.

    :param problems: what is wrong with it, if that is the reason.
    :param may_pass: the reason may be temporary.
    """

    def __init__(
        self, reason: str, problems: Iterable[Problem] = (), *, may_pass: bool = False
    ) -> None:
        super().__init__(reason)
        self.problems = list(problems)
        self.may_pass = may_pass


class Reloader:
    """Reloads; only one reload is in progress at a time.

    :param supervisor: of the workers.
    :param options: of the command line.
    :param storage: of the configuration.
    :param watch: of the files that were read.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        options: ServeOptions,
        storage: ConfigStorage,
        watch: ConfigurationWatch | None = None,
    ) -> None:
        self._supervisor = supervisor
        self._options = options
        self._storage = storage
        self._watch = watch
        self._recorder = Recorder(storage)
        self._lock = anyio.Lock()
        self._at_start = supervisor.base.runtime.config
        """The configuration at the start, which determines the number of workers."""
        self.last: ReloadResult | None = None
        """The outcome of the last one."""
        self.problems: list[Problem] = []
        """What was wrong with the last configuration, if that is why it is not served."""
        self.served_since = time.time()
        """When the current configuration was loaded, in Unix seconds."""
        self.may_pass = False
        """The last one failed for a reason that may be temporary."""
        self.needs_restart: list[str] = []
        """The changed keys of the current configuration that need a new process."""

    async def reload(self, snapshot: Snapshot | None = None) -> list[str]:
        """Read the configuration and serve it; if it cannot be served, nothing changes.

        :param snapshot: the configuration, if it has already been read.
        :returns: the changes that only a new process can apply.
        """
        async with self._lock:
            if self._watch is not None:
                self._watch.know()
            try:
                snapshot = snapshot or await read_from(self._storage)
            except StorageError as error:
                log.error("%s; it cannot be read: %s", _STAYS, error)  # noqa: TRY400
                self._notify_failure("it cannot be read", str(error))
                self.last = ReloadResult(at=time.time(), by="", error=f"it cannot be read: {error}")
                self.problems = []
                self.may_pass = True
                return []
            try:
                return await self._serve(snapshot, "")
            except RefusedError:
                return []

    async def record_start(self) -> None:
        """Record the version with which the workers started."""
        await self._recorder.record(self._at_start.snapshot, ConfigNote(reason="started"))

    async def apply(self, snapshot: Snapshot, by: str) -> list[str]:
        """Serve a configuration that was not read from the files.

        :param by: who applies it.
        :returns: the changes that only a new process can apply.
        :raises RefusedError: it cannot be served, and nothing changes.
        """
        async with self._lock:
            return await self._serve(snapshot, by)

    async def _serve(self, snapshot: Snapshot, by: str) -> list[str]:
        failure = "it was interrupted"
        self.may_pass = False
        self.problems = []
        try:
            await self._take_over(snapshot, by)
            failure = ""
            self.served_since = time.time()
            await self._recorder.record(snapshot, ConfigNote(by, "applied" if by else "reloaded"))
        except Exception as error:
            failure = str(error) or type(error).__name__
            self.problems = getattr(error, "problems", [])
            # (A build that took too long is a ``TimeoutError``.)
            self.may_pass = isinstance(error, TimeoutError) or getattr(error, "may_pass", False)
            raise
        finally:
            self.last = ReloadResult(at=time.time(), by=by, error=failure)
        return self.needs_restart

    async def _take_over(self, snapshot: Snapshot, by: str) -> None:
        old = self._supervisor.base.runtime
        which = f"the new one, applied by {by}," if by else "the new one"
        try:
            # A supervisor that a plugin blocks could not replace workers.
            with time_limit(old.config.basic.worker_timeout):
                config = self._load(snapshot, old)
                refuse(start_problems(config))
                target = self._supervisor.base.log_target
                new = build(config, old.registry, target, previous=old)
        except ConfigError as error:
            log.error("%s; %s is wrong:\n%s", _STAYS, which, error)  # noqa: TRY400
            self._notify_failure(f"{which} is wrong", str(error))
            raise RefusedError(str(error), error.problems) from None
        for warning in (*config.warnings, *new.warnings):
            log.warning("%s", warning)
        try:
            await self._change(config.snapshot, new)
        except RefusedError as error:
            space = "\n" if error.problems else " "
            log.error("%s; %s cannot be served:%s%s", _STAYS, which, space, error)  # noqa: TRY400
            self._notify_failure(f"{which} cannot be served", str(error))
            old.log_files.close_others(old.log_targets)
            raise
        if (cache := self._options.snapshot_cache) is not None:
            keep_copy(cache, snapshot)
        self.needs_restart = self._keys_that_wait(config)
        self._tell(old, new, by)

    def _notify_failure(self, what: str, reason: str) -> None:
        self._supervisor.notify("reload_config_fail", f"{_STAYS}; {what}", reason)

    def _keys_that_wait(self, config: Config) -> list[str]:
        restart = needs_restart(self._at_start, config)
        workers, threads = self._supervisor.workers, self._options.threads
        for name in config.servers.keys() - self._at_start.servers.keys():
            if workers_of(config, name, threads) > workers:
                restart.append(dotted(("servers", name, "threads")))
        return restart

    def _load(self, snapshot: Snapshot, old: Runtime) -> Config:
        """Load the configuration; from now on, the files that it names are watched, too."""
        files: Collection[str] = ()
        try:
            config = load_configuration(snapshot, old.registry)
            files = watched_files(config)
        except ConfigError:
            files = {*watched_files(old.config), *named_files(snapshot, formats_of(old.registry))}
            raise
        finally:
            if self._watch is not None:
                self._watch.watch(files)
        return config

    async def _change(self, snapshot: Snapshot, new: Runtime) -> None:
        supervisor, old = self._supervisor, self._supervisor.base.runtime
        async with supervisor.forking:
            listeners = self._relisten(new.config)
            children = list(supervisor.children.values())
            counts = self._counts(new.config)
            given = {child: of_worker(listeners.sockets, child.index, counts) for child in children}
            try:
                refusal = await self._prepare(given, snapshot.to_bytes().decode())
            except BaseException:
                listeners.discard()
                raise
            if refusal is not None:
                for child in children:
                    child.channel.send("discard")
                listeners.discard()
                raise refusal
            # Before the workers close theirs: the last to do so accepts what waits in them.
            supervisor.listen_on(listeners.sockets, listeners.removed)
            listeners.take_effect(new.config)
            for child, sockets in given.items():
                child.sockets = numbers_of(sockets)
                child.channel.send("swap")
            supervisor.base.runtime, supervisor.base.counts = new, counts
            # Before the next fork: a new worker inherits all of this.
            new.take_effect()
            new.forget_others(supervisor.news)
        await _wait_for_swap(children)
        _tell_listeners(listeners)
        old.release([new])
        set_log_level(new.config.basic.log_level)
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def _relisten(self, config: Config) -> Relisting:
        """Open the listening sockets of a configuration.

        :raises RefusedError: one of them cannot be opened.
        """
        supervisor = self._supervisor
        current = [*supervisor.sockets, *supervisor.spare]
        try:
            return relisten(config, self._options.threads, current, most=supervisor.workers)
        except ListenError as error:
            raise RefusedError(str(error), error.problems) from None

    def _counts(self, config: Config) -> dict[str, int]:
        threads, most = self._options.threads, self._supervisor.workers
        return {name: workers_of(config, name, threads, most) for name in config.servers}

    async def _prepare(
        self, given: dict[Child, list[Listening]], snapshot: str
    ) -> RefusedError | None:
        """Let workers build a configuration; return why it cannot be, if it cannot.

        :param given: worker -> the sockets that it should accept from.
        """
        failures: list[str] = []
        late: list[str] = []
        ended: list[str] = []

        async def ask(child: Child, sockets: list[Listening]) -> None:
            passed = [one for one in sockets if one.number not in child.sockets]
            answer = await child.channel.ask(
                "prepare",
                PREPARE_SECONDS,
                [one.sock.fileno() for one in passed],
                snapshot=snapshot,
                listeners=[[one.number, one.server, one.address, one.is_shared] for one in sockets],
                passed=[one.number for one in passed],
            )
            if answer is None:
                if child.ended.is_set() or child.channel.is_broken:
                    ended.append(child.name)
                else:
                    late.append(f"{child.name} was not ready within {PREPARE_SECONDS:g} s")
            elif answer["leaving"]:
                ended.append(child.name)
            elif answer["failure"]:
                failures.append(answer["failure"])

        async with anyio.create_task_group() as tasks:
            for child, sockets in given.items():
                tasks.start_soon(ask, child, sockets)
        # A worker that was killed in the meantime starts with the new configuration. But if all of
        # them have ended, nothing shows that it can be served.
        if len(ended) == len(given):
            late = [f"{name} ended while it prepared it" for name in ended]
        if not (failures or late):
            return None
        return RefusedError("; ".join(dict.fromkeys(failures + late)), may_pass=not failures)

    def _tell(self, old: Runtime, new: Runtime, by: str) -> None:
        models = settings_models(old.plugins, new.plugins)
        text = changes_text(changes_between(old.config, new.config, models))
        done = f"applied by {by}" if by else "reloaded"
        what = f":\n{text}" if text else "; its text is the same"
        log.info("the configuration was %s%s", done, what)
        self._supervisor.notify("reload_config", f"the configuration was {done}", text, INFO)
        if self.needs_restart:
            log.warning("needs a restart to take effect: %s", ", ".join(self.needs_restart))


def keep_copy(cache: SnapshotCache, snapshot: Snapshot) -> None:
    """Save the configuration that is served for a start without its storage."""
    try:
        cache.save(snapshot)
    except StorageError as error:
        log.error("no copy of the configuration was saved: %s", error)  # noqa: TRY400


async def _wait_for_swap(children: Iterable[Child]) -> None:
    """Return when all workers have swapped; a stuck worker is not waited for."""
    async with anyio.create_task_group() as tasks:
        for child in children:
            tasks.start_soon(child.channel.ask, "swapped", SWAP_SECONDS)


def _tell_listeners(listeners: Relisting) -> None:
    """Log new addresses; with ``reuse_port``, workers have separate sockets for one address."""
    for text in dict.fromkeys(f"{one.text} ({one.server})" for one in listeners.opened):
        log.info("listening on %s", text)
    for text in dict.fromkeys(one.address for one in listeners.removed):
        log.info("no longer listening on %s", text)
