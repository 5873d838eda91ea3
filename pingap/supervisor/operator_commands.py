"""What operators can ask of a running instance: ``pingap status``, ``reload``, ``stop``, ``upgrade``, ``drain``."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict
from typing import Any, Final, Protocol

from pingap.build.storages import place_of
from pingap.config import Problem
from pingap.config.storage_location import absolute_location, location_id
from pingap.plugins.instance import InstanceFigures
from pingap.supervisor.options import ServeOptions
from pingap.supervisor.reload import Reloader
from pingap.supervisor.supervisor import Supervisor

log = logging.getLogger("pingap")

UPSTREAM_SECONDS: Final = 2.0
"""How long a worker may take to report the state of its upstreams."""


class Signals(Protocol):
    """What signals do, as ``Master`` does it."""

    def refusal(self) -> str:
        """Return why nothing can be changed now; empty if it can."""

    def start(self, job: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Do something without waiting for its end."""

    async def reload(self) -> None:
        """Read the configuration again, and apply it."""

    async def upgrade(self) -> str:
        """Let a new process take over; return why none did."""

    async def stop(self, *, at_once: bool, now: bool) -> None:
        """End with the last request, or immediately."""


class OperatorCommands:
    """Answers the requests of the control socket."""

    def __init__(
        self,
        supervisor: Supervisor,
        reloader: Reloader,
        options: ServeOptions,
        figures: Callable[[], Awaitable[InstanceFigures]],
        signals: Signals,
    ) -> None:
        self._supervisor = supervisor
        self._reloader = reloader
        self._figures = figures
        self._signals = signals
        self._who = {
            "pid": os.getpid(),
            "conf": place_of(absolute_location(options.conf)),
            "conf_id": location_id(options.conf),
        }
        self._commands = {
            "who": self._answer_who,
            "status": self._answer_status,
            "reload": self._answer_reload,
            "upgrade": self._answer_upgrade,
            "stop": self._answer_stop,
            "drain": self._answer_drain,
        }

    async def answer(self, request: dict[str, Any], pid: int) -> dict[str, Any]:
        """Do what a request asks for, and return the answer."""
        name = request.get("command")
        command = self._commands.get(name) if isinstance(name, str) else None
        if command is None:
            return {"ok": False, "message": "there is no such command"}
        if name not in ("who", "status"):
            log.info("%s: asked for by the process %d", name, pid)
        try:
            return await command(request)
        except Exception as error:  # a bug; the instance continues
            log.exception("the command %s failed", name)
            return {"ok": False, "message": f"{type(error).__name__}: {error}"}

    async def _answer_who(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, **self._who, "state": self._state}

    @property
    def _state(self) -> str:
        refusal = self._signals.refusal()
        return {"": "serving", "pingap is still starting": "starting"}.get(refusal, "draining")

    async def _answer_status(self, request: dict[str, Any]) -> dict[str, Any]:
        figures = asdict(await self._figures())
        config = self._supervisor.base.runtime.config
        last = figures.pop("last_reload")
        if last is not None:
            last["problems"] = list(map(_written, self._reloader.problems))
        return {
            "ok": True,
            **self._who,
            "state": self._state,
            "name": config.basic.name,
            **figures,
            "configuration": {
                "version": config.snapshot.version,
                "served_since": self._reloader.served_since,
                "last_reload": last,
                "needs_restart": list(figures.pop("needs_restart")),
            },
            "listening": [
                {"server": one.server, "address": one.text} for one in self._supervisor.sockets
            ]
            if self._state == "serving"
            else [],
            "upstreams": await self._upstreams(),
        }

    async def _upstreams(self) -> list[dict[str, Any]]:
        """Return the state of the upstreams, as the worker sees it that checks them."""
        if (leader := self._supervisor.leader) is None:
            return []
        answer = await leader.channel.ask("upstreams", UPSTREAM_SECONDS)
        return [] if answer is None else list(answer["upstreams"])

    async def _answer_reload(self, request: dict[str, Any]) -> dict[str, Any]:
        if refusal := self._signals.refusal():
            return {"ok": False, "message": refusal}
        if not request.get("wait"):
            self._signals.start(self._signals.reload)
            return {"ok": True, "message": "the configuration is being read"}
        before = self._supervisor.base.runtime.config.snapshot.version
        await self._signals.reload()
        last = self._reloader.last
        version = self._supervisor.base.runtime.config.snapshot.version
        if last is not None and last.error:
            problems = list(map(_written, self._reloader.problems))
            return {"ok": False, "message": last.error, "problems": problems, "version": version}
        changed = "" if version != before else "; its text is the same"
        text = f"all workers serve the configuration{changed}"
        needs = list(self._reloader.needs_restart)
        return {"ok": True, "message": text, "version": version, "needs_restart": needs}

    async def _answer_upgrade(self, request: dict[str, Any]) -> dict[str, Any]:
        if refusal := self._signals.refusal():
            return {"ok": False, "message": refusal}
        if not request.get("wait"):
            self._signals.start(self._signals.upgrade)
            return {"ok": True, "message": "a new process is being started"}
        failure = await self._signals.upgrade()
        return {"ok": not failure, "message": failure or "a new process serves"}

    async def _answer_stop(self, request: dict[str, Any]) -> dict[str, Any]:
        now = bool(request.get("now"))
        await self._signals.stop(at_once=True, now=now)
        text = "requests are cut off" if now else "no more connections are accepted"
        return {"ok": True, "message": text}

    async def _answer_drain(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._signals.stop(at_once=False, now=False)
        return {"ok": True, "message": "no more connections are accepted; clients may finish"}


def _written(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "path": list(problem.path),
        "message": problem.message,
        "text": str(problem),
    }
