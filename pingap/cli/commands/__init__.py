"""The commands of ``pingap COMMAND``, one module each, imported when used.

A module is named after its command, with ``_`` for ``-``, and defines ``command``. The results of a
command come from ``pingap.inspection``; the modules here parse arguments and print.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from pingap.plugins.registry import Registry

COMMANDS = {
    "diff": "Show which requests another configuration would handle differently.",
    "drain": "End the running instance; no client loses a request.",
    "explain": "Show how a request would be handled, without sending it.",
    "history": "Show and restore versions of the configuration.",
    "lint": "Find settings that are valid but probably wrong.",
    "new-plugin": "Create a plugin distribution.",
    "plugins": "List installed plugins, and where they are used.",
    "reload": "Let the running instance read its configuration again.",
    "schema": "Print the JSON Schema of the configuration, for editors.",
    "secret": "Encrypt values of storages, and change their secret.",
    "status": "Show what the running instance does.",
    "stop": "End the running instance.",
    "upgrade": "Let a new process take over from the running instance.",
    # An additional command needs a line here, in alphabetical order, and its module.
}
"""Name of a command -> its line in ``--help``."""


_EQUALS: Final = re.compile(r"(-[A-Za-z]*c)=(.*)", re.DOTALL)


def expanded(conf: Sequence[str]) -> tuple[str, ...]:
    """Return the values of ``-c`` or ``PINGAP_CONF``, expanding a ``~`` that the shell did not expand."""
    # Path would drop the spelling of the operator.
    return tuple(os.path.expanduser(one) for one in conf if one)  # noqa: PTH111


class CommandGroup(click.Group):
    """Lists the commands without importing them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Accept ``-c=PATH`` as pingap 0.13.9 does; click would make ``=`` part of the path."""
        split: list[str] = []
        for argument in args:
            found = _EQUALS.fullmatch(argument)
            split += found.groups() if found else (argument,)
        return super().parse_args(ctx, split)

    @cached_property
    def _registry(self) -> Registry:
        from pingap.build.registry import installed_registry

        return installed_registry()

    @property
    def _further(self) -> dict[str, str]:
        """Name of a command that a distribution provides -> its line in ``--help``."""
        from pingap.plugins.kinds import COMMAND

        owners = self._registry.owners(COMMAND)
        return {
            name: f"Of the distribution {owners[name]}."
            for name in self._registry.names(COMMAND)
            if name not in COMMANDS
        }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands."""
        return [*COMMANDS, *self._further]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return self._further_command(cmd_name) if cmd_name in self._further else None
        module = import_module(f"pingap.cli.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def _further_command(self, name: str) -> click.Command:
        """Import a command of a distribution.

        :raises click.ClickException: it cannot be used.
        """
        from pingap.plugins.kinds import COMMAND
        from pingap.plugins.registry import MissingPluginError, PluginLoadError

        try:
            command = self._registry.find(COMMAND, name)
        except (MissingPluginError, PluginLoadError) as error:
            raise click.ClickException(f"the command {name}: {error}") from None
        if not isinstance(command, click.Command):
            raise click.ClickException(f"the command {name}: {command!r} is not a click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of the first argument, which may be a mistake, such as a path without -c."""
        if args[0] not in COMMANDS and args[0] not in (further := self._further):
            known = ", ".join((*COMMANDS, *further))
            ctx.fail(f"unexpected extra argument {args[0]!r}: the commands are {known}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of ``--help``."""
        with formatter.section("Commands"):
            formatter.write_dl(list({**COMMANDS, **self._further}.items()))
