"""The command line: flags and variables of pingap 0.13.9 (cli.md, sections 1 and 2)."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from pingap._version import __version__
from pingap.build.registry import installed_registry
from pingap.build.storages import FILES
from pingap.cli.commands import CommandGroup, expanded
from pingap.config import TEMPLATE, ConfigError
from pingap.config.masking import secrets_in
from pingap.config.storage_location import scheme_of
from pingap.host.early_signals import hold_signals, release_signals
from pingap.host.process_title import hide_arguments

if TYPE_CHECKING:
    from pingap.supervisor.options import ServeOptions

_NOT_YET = {
    "admin": "the admin listener",
    "cp": "the control panel",
    "sync": "writing the configuration to another storage",
}
"""Options of pingap 0.13.9 that are an error in this release and hidden in ``--help``."""

_CONVERSIONS = {"to_hcl": "hcl", "to_kdl": "kdl"}
"""Options of pingap 0.13.9 that are a command here."""

_VARIABLES = {
    "conf": "PINGAP_CONF",
    "log": "PINGAP_LOG",
    "admin": "PINGAP_ADMIN_ADDR",
    "daemon": "PINGAP_DAEMON",
    "upgrade": "PINGAP_UPGRADE",
    "cp": "PINGAP_CP",
    "autorestart": "PINGAP_AUTORESTART",
    "autoreload": "PINGAP_AUTORELOAD",
}


def main() -> None:
    """Run the command; ends the process."""
    hold_signals()  # until pingap serves, or the command turns out to be another one
    gc.disable()  # until the worker serves: what loading makes lives as long as the process
    if "--template" in sys.argv[1:]:  # before any other parsing, as pingap does
        click.echo(TEMPLATE, nl=False)
        sys.exit(0)
    command()


@click.group(
    cls=CommandGroup,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND] [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "-c",
    "--conf",
    metavar="PATH",
    multiple=True,
    help="TOML file, or directory of TOML files; may be repeated.",
)
@click.option(
    "--cache",
    metavar="DIR",
    help="Keep a copy of a configuration that is not in files, for a start without it.",
)
@click.option("--upstream", metavar="ADDR,..", help="Quick start: proxy to these addresses.")
@click.option(
    "--addr", metavar="HOST:PORT", help="Quick start: listen here. [127.0.0.1:80, with --cert :443]"
)
@click.option("--domain", metavar="NAME,..", help="Quick start: serve these hosts only.")
@click.option("--cert", metavar="PATH", help="Quick start: certificate, or a directory with one.")
@click.option(
    "--key", metavar="PATH", help="Quick start: its private key. [next to the certificate]"
)
@click.option("-t", "--test", is_flag=True, help="Check the configuration and exit.")
@click.option("--log", metavar="PATH", help="Application log. [stderr]")
@click.option("--threads", type=click.IntRange(min=0), help="Number of workers.")
@click.option("--admin", metavar="ADDR", hidden=True)
@click.option("--cp", is_flag=True, hidden=True)
@click.option("-d", "--daemon", is_flag=True, help="Run in the background.")
@click.option("-u", "--upgrade", is_flag=True, help="Take over from a running instance.")
@click.option("-a", "--autorestart", is_flag=True, help="Reload, and restart where needed.")
@click.option("--autoreload", is_flag=True, help="Reload when the configuration changes.")
@click.option("--sync", metavar="PATH", hidden=True)
@click.option("--to-hcl", is_flag=True, hidden=True)
@click.option("--to-kdl", is_flag=True, hidden=True)
@click.option("--template", is_flag=True, help="Print a starter configuration.")
@click.version_option(__version__, "-V", "--version", message="pingap %(version)s")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Reverse proxy and application gateway, extended in Python.

    Without a command it serves the configuration.
    """
    if ctx.invoked_subcommand is not None or options["test"]:
        release_signals()
    if ctx.invoked_subcommand is not None:
        _prepare_command(ctx, options)
        return
    origins = _read_environment(options)
    hide_arguments([secret for one in options["conf"] for secret in secrets_in(one)])
    _refuse_what_is_not_there(options, origins)
    conf, upstream = expanded(options["conf"]), options["upstream"]
    if conf and upstream:
        raise click.UsageError("--conf and --upstream cannot be used together")
    if not conf and not upstream:
        raise click.UsageError("where is the configuration? Give -c PATH, or --upstream ADDR")
    if options["cache"] and all(scheme_of(one) in ("", FILES) for one in conf):
        raise click.UsageError("--cache is for a configuration that is not in files")
    for name, needed in (
        ("addr", "upstream"),
        ("domain", "upstream"),
        ("cert", "upstream"),
        ("key", "cert"),
    ):
        if options[name] and not options[needed]:
            raise click.UsageError(f"--{name} needs --{needed}")
    log = str(options["log"] or "")
    _run(options, log)


def _prepare_command(ctx: click.Context, options: dict[str, object]) -> None:
    """Pass ``-c`` on to a command; the other options are those of serving."""
    for name, value in options.items():
        if value and name != "conf":
            flag = "--" + name.replace("_", "-")
            raise click.UsageError(f"{flag} does not go with the command {ctx.invoked_subcommand}")
    ctx.obj = options["conf"]


def _read_environment(options: dict[str, object]) -> dict[str, str]:
    """Fill in options from the environment; the command line takes precedence.

    :returns: option -> environment variable that it was read from.
    """
    origins = {}
    for name, variable in _VARIABLES.items():
        value = os.environ.get(variable)
        if not value or options[name]:
            continue
        if name == "conf" and options["upstream"]:
            continue
        if name == "conf":
            options[name] = (value,)
        else:
            options[name] = True if isinstance(options[name], bool) else value
        origins[name] = variable
    return origins


def _refuse_what_is_not_there(options: dict[str, object], origins: dict[str, str]) -> None:
    for name, what in _NOT_YET.items():
        if options[name]:
            said = origins.get(name) or "--" + name.replace("_", "-")
            raise click.UsageError(f"{said}: {what} is not in this release yet")
    for name, suffix in _CONVERSIONS.items():
        if options[name]:
            raise click.UsageError(
                f"--to-{suffix} is a command here: pingap convert FILE --to {suffix}, of pingap-convert"
            )


def _run(options: dict[str, Any], log: str) -> None:
    # Imported late: usage errors and --version need none of it.
    from pingap.supervisor.options import ServeOptions

    serving = ServeOptions(
        conf=expanded(options["conf"]),
        text="" if any(options["conf"]) else _quick_start(options),
        cache=str(Path(expanded((options["cache"],))[0]).absolute()) if options["cache"] else "",
        log=log,
        threads=options["threads"],
        daemon=options["daemon"],
        upgrade=options["upgrade"],
        autoreload=options["autoreload"],
        autorestart=options["autorestart"],
        arguments=tuple(sys.argv[1:]),
    )
    try:
        if options["test"]:
            _test(serving)
            return
        from pingap.supervisor.run import serve

        code = serve(serving)
    except ConfigError as error:
        _fail(str(error))
    sys.exit(code)


def _test(serving: ServeOptions) -> None:
    """Build everything that would be served, without opening or writing any file.

    :raises ConfigError: with everything that is wrong.
    """
    from pingap.build.check import check
    from pingap.build.machine import refuse

    registry = installed_registry()
    found = check(serving.read(registry), registry, serving.log)
    refuse([one for one in found if not one.is_warning])
    for warning in found:
        click.echo(f"warning: {warning}", err=True)
    click.echo("The configuration is valid.")


def _quick_start(options: dict[str, Any]) -> str:
    from pingap.config.quick_start import quick_start

    if options["domain"] and not options["cert"]:
        text = (
            "warning: --domain without --cert serves plain HTTP: this release does not support ACME"
        )
        click.echo(f"{text} yet", err=True)
    try:
        return quick_start(options)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _fail(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(2)
