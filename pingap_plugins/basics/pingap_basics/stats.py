"""Shows figures of the process, as JSON on one path."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Awaitable

from pingap import Plugin, PluginSettings, Request, RequestContext, Response, __version__, hookimpl
from pingap_basics import machine
from pingap_basics.keys import ExactPath

_MIB = 1024 * 1024


class Stats(Plugin):
    """Answers 200 with figures of all workers, this process and the machine, on an exact path.

    Figures that the operating system does not provide are omitted.
    """

    category = "stats"
    answers = "internal"
    steps = ("request", "proxy_upstream")

    class Settings(PluginSettings):
        """Settings of ``stats``."""

        path: ExactPath
        """The path to answer on, compared with the whole path of the request."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.path

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Awaitable[Response] | None:
        """Answer on the path; let all other requests pass, at the cost of a comparison."""
        return self._answer(ctx) if request.path == self._path else None

    async def _answer(self, ctx: RequestContext) -> Response:
        stats = await ctx.connection.stats.of_all_workers()
        processing, accepted = stats.location(ctx.location)
        figures = {
            "processing": stats.processing,
            "accepted": stats.accepted,
            "location_processing": processing,
            "location_accepted": accepted,
            **_process_figures(),
        }
        return Response.json({key: value for key, value in figures.items() if value is not None})


def _process_figures() -> dict[str, str | int | None]:
    began = machine.started_at(os.getpid())
    memory = machine.memory()
    return {
        "hostname": socket.gethostname(),
        "version": __version__,
        "python_version": platform.python_version(),
        "arch": platform.machine(),
        "start_time": round(began),
        "uptime": uptime(time.time() - began),
        "memory_mb": None if memory is None else memory // _MIB,
        "memory": human_size(memory),
        "total_memory": human_size(machine.total_memory()),
        "used_memory": human_size(machine.used_memory()),
        "cpus": machine.cpus(),
        "physical_cpus": machine.physical_cpus(),
        "threads": machine.threads(),
        "fd_count": machine.open_files(),
        "tcp_count": machine.tcp_sockets(),
        "tcp6_count": machine.tcp6_sockets(),
    }


def human_size(size: int | None) -> str | None:
    """Write a number of bytes in the largest unit that it fills: ``1.9 GiB``."""
    if size is None:
        return None
    if size < 1024:
        return f"{size} B"
    power = min((size.bit_length() - 1) // 10, 6)
    return f"{size / 1024**power:.1f} {'KMGTPE'[power - 1]}iB"


def uptime(seconds: float) -> str:
    """Write a time in days, hours, minutes and seconds, without the units that are zero."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    parts = ((day, "d"), (hour, "h"), (minute, "m"), (second, "s"))
    return " ".join(f"{count}{unit}" for count, unit in parts if count) or "0s"
