"""``pingap certs``: the certificates that are ordered, when they are renewed, and what fails."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

import click

from pingap import ConfigView, hookimpl, read_config
from pingap_acme.status import Status, shelf_of, statuses

_MISTAKE: Final = 2
"""Exit code if the configuration or the directory cannot be used."""

_conf = click.option(
    "-c", "--conf", metavar="PATH", multiple=True, help="The configuration. [$PINGAP_CONF]"
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@hookimpl
def pingap_commands() -> Sequence[click.Command]:
    """Name the command."""
    return [certs]


@click.group("certs")
def certs() -> None:
    """Show the certificates that pingap orders, and renew them.

    They are found in acme_storage of the configuration, else in pingap's state directory: set PINGAP_STATE_DIR as it
    is for pingap, and run this as the same user, or as root.
    """


@certs.command("list")
@_conf
@_json
def list_certificates(conf: tuple[str, ...], as_json: bool) -> None:
    """List them; the exit code is 1 if one is missing, has expired, or cannot be renewed."""
    with _mistakes_end_the_command():
        found = list(statuses(_config(conf), time.time()))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    else:
        head = ("name", "expires", "renewed", "state", "domains")
        rows = [head, *(_row(one) for one in found)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            click.echo("  ".join(cells).rstrip())
    _exit(found)


@certs.command()
@click.argument("name")
@_conf
@_json
def show(name: str, conf: tuple[str, ...], as_json: bool) -> None:
    """Show one, with the cause of a failure; the exit code is 1 as for list."""
    with _mistakes_end_the_command():
        config = _config(conf)
        _require(config, name)
        found = next(one for one in statuses(config, time.time()) if one.name == name)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
    else:
        for label, value in _details(found):
            click.echo(f"{label:<10}{value}")
    _exit([found])


@certs.command()
@click.argument("name")
@_conf
def renew(name: str, conf: tuple[str, ...]) -> None:
    """Have the running pingap order a new certificate within seconds, also after failures."""
    with _mistakes_end_the_command():
        config = _config(conf)
        _require(config, name)
        shelf = shelf_of(dict(config.certificates[name].claimed))
        if not shelf.has_orders():  # made here, it would belong to another user than pingap's
            raise ValueError(f"{shelf.directory}: pingap has not ordered a certificate there yet")
        shelf.wish(name)
    click.echo(f"the running pingap orders a new certificate; see: pingap certs show {name}")


def _config(conf: tuple[str, ...]) -> ConfigView:
    return read_config(conf or click.get_current_context().obj or ())


def _require(config: ConfigView, name: str) -> None:
    known = [key for key, table in config.certificates.items() if table.claimed.get("acme")]
    if name not in known:
        there = ", ".join(known) or "none"
        raise ValueError(f'no certificate with acme is named "{name}"; there is: {there}')


@contextmanager
def _mistakes_end_the_command() -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        click.echo(str(error), err=True)
        sys.exit(_MISTAKE)


def _exit(found: Sequence[Status]) -> None:
    if any(one.problem for one in found):
        sys.exit(1)


def _row(one: Status) -> tuple[str, ...]:
    domains = ", ".join(one.domains[:3]) + (", ..." if len(one.domains) > 3 else "")
    return (one.name, _date(one.expires), _date(one.renewal), one.problem or "ok", domains)


def _details(one: Status) -> Iterator[tuple[str, str]]:
    yield "name", one.name
    yield "domains", ", ".join(one.domains)
    yield "authority", one.authority
    yield "expires", _time(one.expires)
    yield "renewed", _time(one.renewal)
    yield "state", one.problem or "ok"
    if one.failures:
        yield "failures", str(one.failures)
        yield "cause", one.error
        yield "next try", _time(one.next_try)


def _date(at: float | None) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}" if at is not None else "-"


def _time(at: float | None) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC" if at is not None else "-"
