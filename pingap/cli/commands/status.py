"""``pingap status``: show what a running instance does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from pingap.cli.commands.common import aligned, print_json
from pingap.cli.commands.instance import asked, instance_options


@click.command()
@instance_options
def command(conf: str | None, pid: int | None, as_json: bool) -> None:
    """Show the processes, the configuration and the upstreams of the running instance.

    Exit codes: 0 it serves, 1 it does not, or there is none.
    """
    status = asked(conf, pid, lambda one: one.ask("status", 10.0))
    if as_json:
        print_json(status)
    else:
        click.echo("\n".join(_lines(status)))
    sys.exit(0 if status["state"] == "serving" else 1)


def _lines(status: dict[str, Any]) -> Iterator[str]:
    name = f" ({status['name']})" if status["name"] else ""
    since = _time(status["started_at"])
    yield f"pingap {status['version']}{name}, pid {status['pid']}, {status['state']} since {since}"
    yield ""
    yield from _configuration(status)
    if status["listening"]:
        yield ""
        yield "Listening"
        yield from aligned([[one["address"], one["server"]] for one in status["listening"]], "  ")
    yield ""
    yield "Workers"
    head = ["pid", "connections", "requests", "accepted", "memory", ""]
    yield from aligned([head, *map(_worker, status["workers"])], "  ")
    if status["upstreams"]:
        yield ""
        yield "Upstreams"
        rows = [row for one in status["upstreams"] for row in _upstream(one)]
        yield from aligned(rows, "  ")


def _configuration(status: dict[str, Any]) -> Iterator[str]:
    configuration, last = status["configuration"], status["configuration"]["last_reload"]
    yield f"Configuration {status['conf'] or '(command line)'}"
    yield f"  version {configuration['version'][:12]}, served since {_time(configuration['served_since'])}"
    if last is not None:
        by = f", by {last['by']}" if last["by"] else ""
        result = "failed:" if last["error"] else "succeeded"
        yield f"  last reload {_time(last['at'])}{by}: {result}"
        yield from (f"    {line}" for line in last["error"].splitlines())
    if configuration["needs_restart"]:
        yield f"  needs a restart: {', '.join(configuration['needs_restart'])}"


def _worker(worker: dict[str, Any]) -> list[str]:
    marks = [word for word, key in (("leads", "leads"), ("drains", "drains")) if worker[key]]
    if not worker["responds"]:
        marks.append("does not respond")
    memory = "" if worker["memory"] is None else f"{worker['memory'] / 2**20:.0f} MiB"
    numbers = [str(worker[key]) for key in ("pid", "connections", "processing", "accepted")]
    return [*numbers, memory, ", ".join(marks)]


def _upstream(upstream: dict[str, Any]) -> Iterator[list[str]]:
    for peer in upstream["peers"]:
        states = {
            "unhealthy": not peer["is_healthy"],
            "ejected": peer["is_ejected"],
            "drained": peer["is_drained"],
        }
        found = [word for word, is_so in states.items() if is_so]
        state = ", ".join(found) or ("available" if peer["is_available"] else "not available")
        yield [upstream["name"], peer["address"], state]
    if not upstream["peers"]:
        yield [upstream["name"], "", "no backends"]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
