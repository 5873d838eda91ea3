"""The commands of ``pingap COMMAND``, one module each, imported when it is used.

A module is named after its command, ``-`` becoming ``_``, and defines ``command``. What a command
finds out is in ``pingap.inspection``; here is how it is asked for and shown.
"""

from __future__ import annotations

import os
import re
from importlib import import_module
from typing import Final

import click

COMMANDS = {
    "explain": "Show how a request would be handled, without sending it.",
    "lint": "Find settings that are valid but probably wrong.",
    "new-plugin": "Create a plugin distribution.",
    "plugins": "List installed plugins, and where they are used.",
    "schema": "Print the JSON Schema of the configuration, for editors.",
    # A further command needs a line here, in the order of the alphabet, and its module.
}
"""Name of a command -> its line in ``--help``."""


_EQUALS: Final = re.compile(r"(-[A-Za-z]*c)=(.*)", re.DOTALL)


def expanded(conf: str) -> str:
    """Return the value of ``-c`` or ``PINGAP_CONF`` with a ``~`` expanded that the shell left alone."""
    return os.path.expanduser(conf)  # noqa: PTH111 - Path would drop the spelling of the operator


class CommandGroup(click.Group):
    """Knows the commands without importing them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Accept ``-c=PATH`` as pingap 0.13.9 does; click would make ``=`` part of the path."""
        split: list[str] = []
        for argument in args:
            found = _EQUALS.fullmatch(argument)
            split += found.groups() if found else (argument,)
        return super().parse_args(ctx, split)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"pingap.cli.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of the first argument; it may be a slip, such as a path without -c."""
        if args[0] not in COMMANDS:
            known = ", ".join(COMMANDS)
            ctx.fail(f"unexpected extra argument {args[0]!r}: the commands are {known}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of ``--help``."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
