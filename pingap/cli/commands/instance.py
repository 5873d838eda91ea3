"""Shared by the commands that control a running instance."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from pingap.cli.commands.common import conf_option, configuration_path, json_option, print_json

if TYPE_CHECKING:
    from pingap.supervisor.control_client import RunningInstance

F = TypeVar("F", bound=Callable[..., Any])


def instance_options(function: F) -> F:
    """Add the options that choose an instance."""
    pid = click.option("--pid", type=click.IntRange(min=1), help="Process ID of the instance.")
    return conf_option(pid(json_option(function)))


def wait_options(function: F) -> F:
    """Add the options of commands that can wait."""
    wait = click.option("--wait", is_flag=True, help="Wait until it is done.")
    seconds = click.option(
        "--timeout", type=click.FloatRange(min=0, min_open=True), help="Wait no longer. [seconds]"
    )
    return wait(seconds(function))


def asked(
    conf: str | None, pid: int | None, ask: Callable[[RunningInstance], dict[str, Any]]
) -> dict[str, Any]:
    """Find the instance, ask it, and return its answer; exit with 1 if there is none."""
    from pingap.supervisor.control_client import InstanceLostError, NoInstanceError, find_instance

    location = configuration_path(conf)
    try:
        return ask(find_instance(location, pid, _pid_file(location)))
    except (NoInstanceError, InstanceLostError) as error:
        click.echo(f"pingap: {error}", err=True)
        sys.exit(1)


def show_result(answer: dict[str, Any], *, as_json: bool) -> NoReturn:
    """Print the answer, and exit: 0 done, 1 not done, 2 the configuration is wrong."""
    if as_json:
        print_json(answer)
    else:
        click.echo(answer["message"], err=not answer["ok"])
        for key in answer.get("needs_restart", ()):
            click.echo(f"needs a restart to take effect: {key}")
    sys.exit(0 if answer["ok"] else 2 if answer.get("problems") else 1)


def _pid_file(location: str | None) -> str:
    """Return ``basic.pid_file`` of a configuration, which may have errors."""
    from pingap.build.loading import read_configuration
    from pingap.build.registry import installed_registry
    from pingap.build.storages import formats_of
    from pingap.config import ConfigError
    from pingap.config.files import parse_files

    if not location:
        return ""
    registry = installed_registry()
    try:
        snapshot = read_configuration(location, registry)
    except ConfigError:
        return ""
    for document in parse_files(snapshot, formats_of(registry)).documents:
        basic = document.data.get("basic")
        if isinstance(basic, dict) and isinstance(basic.get("pid_file"), str):
            return str(basic["pid_file"])
    return ""
