"""Handles requests of plugins that control pingap from a worker: apply, restart, figures."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final

import anyio

from pingap._version import __version__
from pingap.config import Snapshot, quoted
from pingap.config.snapshot import written
from pingap.host.memory import resident_memory
from pingap.host.systemd import Notifier
from pingap.observability.counters import LocationStats
from pingap.plugins.instance import InstanceFigures, WorkerFigures
from pingap.supervisor.child import Child
from pingap.supervisor.reload import RefusedError, Reloader
from pingap.supervisor.supervisor import Supervisor
from pingap.worker.channel import Message

log = logging.getLogger("pingap")

STATE_SECONDS: Final = 2.0
"""How long a worker may take to report its activity."""
_NAME_SHOWN: Final = 80
"""Maximum length of a name in the log."""


class Control:
    """Handles requests of workers.

    :param supervisor: of the workers.
    :param reloader: applies another configuration.
    :param notifier: to systemd.
    :param refusal: returns why no change is possible now; empty if one is.
    :param restart: lets a new process take over; returns why none did; empty if one did.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        reloader: Reloader,
        notifier: Notifier,
        refusal: Callable[[], str],
        restart: Callable[[], Awaitable[str]],
    ) -> None:
        self._supervisor = supervisor
        self._reloader = reloader
        self._notifier = notifier
        self._refusal = refusal
        self._restart = restart
        self._started_at = time.time()
        self.answers = {
            "apply": self._answer_apply,
            "restart": self._answer_restart,
            "figures_of_all": self._answer_figures,
        }
        """Kind of a request -> its handler, which returns the reply."""

    async def _answer_apply(self, child: Child, question: Message) -> dict[str, Any]:
        if failure := self._refusal():
            return {"failure": failure, "problems": []}
        by = (
            f"{child.name} for {quoted(name[:_NAME_SHOWN])}"
            if (name := question["by"])
            else child.name
        )
        self._notifier.reloading()
        try:
            snapshot = Snapshot.from_bytes(question["snapshot"].encode())
            restart = await self._reloader.apply(snapshot, by)
        except RefusedError as error:
            return {"failure": str(error), "problems": [*map(written, error.problems)]}
        except Exception as error:  # a bug, perhaps in a plugin
            log.exception("the configuration stays as it was; that of %s cannot be built", by)
            return {"failure": f"{type(error).__name__}: {error}", "problems": []}
        finally:
            self._notifier.ready()
        return {"failure": "", "restart": restart}

    async def _answer_restart(self, child: Child, question: Message) -> dict[str, Any]:
        if failure := self._refusal():
            return {"failure": failure}
        log.info("a new process is started, as %s asks", child.name)
        return {"failure": await self._restart()}

    async def _answer_figures(self, child: Child, question: Message) -> dict[str, Any]:
        return {"figures": asdict(await self.figures())}

    async def figures(self) -> InstanceFigures:
        """Return the current activity of all processes."""
        workers: dict[int, WorkerFigures] = {}
        async with anyio.create_task_group() as tasks:
            for child in self._supervisor.every_child():
                tasks.start_soon(self._ask, child, workers)
        served = self._supervisor.base.runtime.config.locations
        before = self._supervisor.gone["locations"].items()
        gone = sum(LocationStats.of(one).accepted for name, one in before if name in served)
        return InstanceFigures(
            version=__version__,
            pid=os.getpid(),
            started_at=self._started_at,
            memory=resident_memory(os.getpid()),
            workers=tuple(workers[pid] for pid in sorted(workers)),
            accepted=gone + sum(one.accepted for one in workers.values()),
            last_reload=self._reloader.last,
            needs_restart=tuple(self._reloader.needs_restart),
        )

    async def _ask(self, child: Child, workers: dict[int, WorkerFigures]) -> None:
        answer = await child.channel.ask("state", STATE_SECONDS)
        if answer is None and child.ended.is_set():
            return
        state = answer["state"] if answer is not None else {"processing": child.requests}
        workers[child.pid] = WorkerFigures(
            pid=child.pid,
            started_at=child.started_at,
            memory=resident_memory(child.pid),
            leads=child is self._supervisor.leader,
            drains=self._supervisor.children.get(child.index) is not child,
            responds=answer is not None,
            **state,
        )
