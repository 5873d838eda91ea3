"""``pingap drain``: end a running instance without closing connections that clients may be about to use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pingap.cli.commands.instance import asked, instance_options, show_result, wait_options

if TYPE_CHECKING:
    from pingap.supervisor.control_client import RunningInstance


@click.command()
@instance_options
@wait_options
def command(
    conf: str | None, pid: int | None, as_json: bool, wait: bool, timeout: float | None
) -> None:
    """End the running instance behind a load balancer: no request is lost.

    It accepts no more connections. In contrast to "pingap stop", clients with an idle connection may send one more
    request, within 5 s. Exit codes: 0 done, 1 no instance, or it has not ended in time.
    """

    def ask(one: RunningInstance) -> dict[str, Any]:
        return one.end("drain", timeout) if wait else one.ask("drain")

    show_result(asked(conf, pid, ask), as_json=as_json)
