"""``pingap upgrade``: let a new process take over from a running instance."""

from __future__ import annotations

import click

from pingap.cli.commands.instance import asked, instance_options, show_result, wait_options


@click.command()
@instance_options
@wait_options
def command(
    conf: str | None, pid: int | None, as_json: bool, wait: bool, timeout: float | None
) -> None:
    """Let a new process with the same arguments take over from the running instance.

    With --wait, it returns when the new process serves, or prints why it does not. Exit codes: 0 done, 1 no
    instance, or the old process continues to serve.
    """
    seconds = timeout if wait else 10.0
    answer = asked(conf, pid, lambda one: one.ask("upgrade", seconds, wait=wait))
    show_result(answer, as_json=as_json)
