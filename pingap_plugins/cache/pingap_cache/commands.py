"""``pingap cache``: look into the caches of the running pingap, and purge them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from pingap import DurableStore, hookimpl
from pingap_cache.control import CommandError, ask_all, folder

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
        return [one for one in ask_all(folder(DurableStore()), given) if not one.get("other")]
    except CommandError as error:
        raise click.ClickException(str(error)) from None


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
        click.echo(f"{name} ({mine[0]['directory']}), workers: {len(mine)}")
        for label, value in _summed(mine).items():
            click.echo(f"  {label:<22}{value:>14}")


def _summed(replies: list[dict[str, Any]]) -> Mapping[str, str]:
    """Return the figures of one cache, over all workers; those of a disk are the same in all of them."""
    rows: dict[str, str] = {}
    for part in ("memory", "disk"):
        figures = [reply["stores"][part] for reply in replies if part in reply["stores"]]
        for name in figures[0] if figures else ():
            values = [one[name] for one in figures if one[name] is not None]
            if values:
                shared = part == "disk" and name in ("entries", "bytes", "limit")
                value = max(values) if shared else sum(values)
                shown = f"{value:.3f}" if isinstance(value, float) else str(value)
                rows[f"{part} {name.replace('_', ' ')}"] = shown
    requests: dict[str, int] = {}
    for reply in replies:
        for status, count in reply["requests"].items():
            requests[status] = requests.get(status, 0) + count
    rows.update({f"requests {status}": str(count) for status, count in requests.items()})
    return rows


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
    now = time.time()
    for entry in entries:
        stale = " stale" if entry["stale"] else ""
        kept = max(0, entry["keep_until"] - now)
        click.echo(
            f"{entry['size']:>10}  {now - entry['stored']:>7.0f} s old, kept {kept:.0f} s{stale}  {entry['url']}"
        )


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
    told: dict[tuple[str, str], None] = {}
    for reply in replies:
        for verdict in reply["verdicts"]:
            told[reply["plugin"], f"location {verdict['location']}: {verdict['text']}"] = None
    for name, text in told:
        click.echo(f"{name}, {text}")
    if not told:
        click.echo("no location with a cache")
