"""``pingap reload``: let a running instance read its configuration again."""

from __future__ import annotations

import click

from pingap.cli.commands.instance import asked, instance_options, show_result, wait_options


@click.command()
@instance_options
@wait_options
def command(
    conf: str | None, pid: int | None, as_json: bool, wait: bool, timeout: float | None
) -> None:
    """Let the running instance read its configuration again.

    With --wait, it returns when all workers serve it, or prints what is wrong. Exit codes: 0 done, 1 no instance
    or not possible now, 2 the configuration is wrong and the previous one is still served.
    """
    seconds = timeout if wait else 10.0
    answer = asked(conf, pid, lambda one: one.ask("reload", seconds, wait=wait))
    show_result(answer, as_json=as_json)
