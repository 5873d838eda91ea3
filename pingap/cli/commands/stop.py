"""``pingap stop``: end a running instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pingap.cli.commands.instance import asked, instance_options, show_result, wait_options

if TYPE_CHECKING:
    from pingap.supervisor.control_client import RunningInstance


@click.command()
@instance_options
@wait_options
@click.option("--now", is_flag=True, help="Do not finish requests.")
def command(
    conf: str | None, pid: int | None, as_json: bool, wait: bool, timeout: float | None, now: bool
) -> None:
    """End the running instance when its requests are answered, or after basic.grace_period.

    Idle connections are closed; see "pingap drain". Exit codes: 0 done, 1 no instance, or it has not ended in time.
    """

    def ask(one: RunningInstance) -> dict[str, Any]:
        return one.end("stop", timeout, now=now) if wait else one.ask("stop", now=now)

    show_result(asked(conf, pid, ask), as_json=as_json)
