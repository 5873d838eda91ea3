"""``pingap cache``: look into the caches of the running pingap, and purge them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import click

from pingap import DurableStore, hookimpl
from pingap_cache.control import CommandError, ask_all, folder
from pingap_cache.showing import summary, table, verdicts

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_plugin = click.option("--plugin", default="", metavar="NAME", help="Only the cache of this name.")
_namespace = click.option("--namespace", metavar="NAME", help="Only entries of this namespace.")


@hookimpl
def pingap_commands() -> Sequence[click.Command]:
    """Name the command."""
    return [cache]


@click.group("cache")
def cache() -> None:
    """Look into the caches of the running pingap, and purge them.

    All instances that keep their state in the same directory are meant: set PINGAP_STATE_DIR as it is
    for them, and run this as the same user, or as root.
    """


def _ask(command: str, plugin: str, **arguments: Any) -> list[dict[str, Any]]:
    try:
        given = {"command": command, "plugin": plugin, **arguments}
        replies = ask_all(folder(DurableStore()), given)
    except CommandError as error:
        raise click.ClickException(str(error)) from None
    found = [reply for reply in replies if "other" not in reply]
    if not found:
        names = ", ".join(sorted({reply["other"] for reply in replies}))
        raise click.ClickException(f'no running cache is named "{plugin}"; there is: {names}')
    return found


def _echo_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2))


@cache.command()
@_plugin
@_json
def stats(plugin: str, as_json: bool) -> None:
    """Show what caches hold and how often they answered."""
    replies = _ask("stats", plugin)
    if as_json:
        _echo_json(replies)
        return
    for name in dict.fromkeys(reply["plugin"] for reply in replies):
        mine = [reply for reply in replies if reply["plugin"] == name]
        click.echo("\n".join(summary(name, mine)))


@cache.command("list")
@click.option("--prefix", default="", metavar="URL", help="Only URLs that begin with this.")
@_namespace
@click.option("--limit", default=100, show_default=True, help="Entries to list.")
@_plugin
@_json
def list_entries(
    prefix: str, namespace: str | None, limit: int, plugin: str, as_json: bool
) -> None:
    """List stored responses."""
    replies = _ask("list", plugin, prefix=prefix, namespace=namespace, limit=limit)
    found = {(one["plugin"], entry["key"]): entry for one in replies for entry in one["entries"]}
    entries = sorted(found.values(), key=lambda entry: entry["url"])[:limit]
    if as_json:
        _echo_json(entries)
        return
    for line in table(entries, time.time()):
        click.echo(line)
    if not entries:
        click.echo("nothing is stored that matches", err=True)


@cache.command()
@click.argument("url", default="")
@click.option("--prefix", default="", metavar="URL", help="All URLs that begin with this.")
@_namespace
@click.option("--tag", metavar="TAG", help="All responses with this Cache-Tag or Surrogate-Key.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--soft", is_flag=True, help="Mark them as stale instead of removing them.")
@_plugin
def purge(
    url: str,
    prefix: str,
    namespace: str | None,
    tag: str | None,
    everything: bool,
    soft: bool,
    plugin: str,
) -> None:
    """Remove stored responses of one URL, or of all that match the options."""
    if bool(url) + bool(prefix or namespace is not None or tag is not None) + everything != 1:
        raise click.UsageError("name a URL, or --prefix, --namespace and --tag, or --all")
    given = {"url": url, "prefix": prefix, "namespace": namespace, "tag": tag, "soft": soft}
    found = sum(reply["purged"] for reply in _ask("purge", plugin, **given))
    click.echo(f"purged: {found}")


@cache.command()
@click.argument("url")
@click.option(
    "-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Of the request."
)
@click.option("--method", default="GET", show_default=True)
@_plugin
@_json
def why(url: str, headers: Sequence[str], method: str, plugin: str, as_json: bool) -> None:
    """Show what would be done with a request for a URL, and why."""
    fields = [header.partition(":")[::2] for header in headers]
    pairs = [(name.strip(), value.strip()) for name, value in fields]
    replies = _ask("why", plugin, url=url, headers=pairs, method=method)
    if as_json:
        _echo_json(replies)
        return
    for line in verdicts(replies) or ["no location has a cache"]:
        click.echo(line)
