"""``pingap history``: versions of a configuration, and the way back to them."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from difflib import unified_diff
from functools import partial
from typing import Any, TypeVar

import anyio
import click

from pingap.build.loading import read_from
from pingap.build.registry import installed_registry
from pingap.build.storages import formats_of, places_of, storage_of
from pingap.cli.commands.common import (
    aligned,
    conf_option,
    configuration_paths,
    json_option,
    mistakes_end_the_command,
    print_json,
)
from pingap.config import ConfigError, Snapshot
from pingap.config.changes import changes_text
from pingap.config.formats.installed import suffix
from pingap.config.masked_text import masked_text
from pingap.config.storage.errors import StorageError
from pingap.config.storage.history import ConfigNote, ConfigVersion
from pingap.config.storage.interface import ConfigStorage
from pingap.inspection import versions
from pingap.plugins.registry import Registry

T = TypeVar("T")
reveal_option = click.option("--reveal", is_flag=True, help="Show secrets.")


class Versions:
    """The storage that a command is about, and its history.

    :param conf: the value of ``-c`` of the command.
    """

    def __init__(self, conf: tuple[str, ...]) -> None:
        paths = configuration_paths(conf)
        if not paths:
            raise click.UsageError("where is the configuration? Give -c PATH")
        self.registry: Registry = installed_registry()
        with mistakes_end_the_command():
            self.storage: ConfigStorage = storage_of(paths, self.registry)
        self.place = places_of(paths)

    def all(self) -> list[ConfigVersion]:
        """Return all versions, oldest first."""
        return _run(lambda: versions.history_of(self.storage).versions())

    def current(self) -> Snapshot:
        """Return the current texts."""
        return _run(partial(read_from, self.storage))

    def chosen(self, text: str) -> ConfigVersion:
        """Return the version that a name or a hash means."""
        with _failures():
            return versions.chosen(self.all(), text)

    def texts(self, text: str | None) -> Snapshot:
        """Return the texts of a version, with the directory of the current ones; None: the current texts."""
        current = self.current()
        if text is None:
            return current
        name = self.chosen(text).name
        found = _run(lambda: versions.history_of(self.storage).snapshot(name))
        return versions.restoration(current, found).snapshot


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        click.echo(f"pingap: {error}", err=True)
        sys.exit(2)


def _run(job: Callable[[], Coroutine[Any, Any, T]]) -> T:
    async def main() -> T:
        return await job()

    with _failures():
        return anyio.run(main)


@click.group()
def command() -> None:
    """Show the versions of a configuration that were served, and restore them.

    They are kept beside files with -c PATH?enable_history.
    """


@command.command("list")
@conf_option
@json_option
def list_(conf: tuple[str, ...], as_json: bool) -> None:
    """List the versions, newest first."""
    site = Versions(conf)
    found, current = site.all()[::-1], site.current().kept().version
    served = next((one.name for one in found if one.version == current), "")
    if as_json:
        print_json([_plain(one) | {"is_current": one.name == served} for one in found])
        return
    rows = [["version", "time", "reason", "by", ""]]
    for one in found:
        mark = "current" if one.name == served else ""
        rows.append([one.name, _time(one), one.note.reason, one.note.by, mark])
    click.echo("\n".join(aligned(rows)))


@command.command()
@click.argument("version", required=False)
@conf_option
@json_option
@reveal_option
def show(version: str | None, conf: tuple[str, ...], as_json: bool, reveal: bool) -> None:
    """Print the texts of a version; without one, those of now. Secrets are masked."""
    site = Versions(conf)
    snapshot = site.texts(version)
    files = snapshot.kept().files if reveal else _masked(snapshot, site.registry)
    if as_json:
        print_json(dict(files))
        return
    for name, text in files:
        click.echo(f"# {name}\n{text}")


@command.command()
@click.argument("old")
@click.argument("new", required=False)
@conf_option
@json_option
@reveal_option
def diff(old: str, new: str | None, conf: tuple[str, ...], as_json: bool, reveal: bool) -> None:
    """Show what differs between two versions; without a second one, between a version and the texts of now.

    With --reveal, the texts are compared, and secrets are shown. Exit codes: 0 nothing, 1 something, 2 an error.
    """
    site = Versions(conf)
    before, after = site.texts(old), site.texts(new)
    if reveal:
        lines = list(_text_difference(before, after))
        click.echo("\n".join(lines), nl=bool(lines))
        sys.exit(1 if lines else 0)
    with mistakes_end_the_command():
        changes = versions.differences(
            versions.load_version(before, site.registry),
            versions.load_version(after, site.registry),
        )
    if as_json:
        print_json([asdict(one) for one in changes])
    elif changes:
        click.echo(changes_text(changes))
    sys.exit(1 if changes else 0)


@command.command()
@click.argument("version")
@click.option("--reason", default="", help="Why, for the history.")
@conf_option
@json_option
def restore(version: str, reason: str, conf: tuple[str, ...], as_json: bool) -> None:
    """Write the texts of a version, if they are still valid. This is a new version.

    Exit codes: 0 done, 2 nothing was written.
    """
    site = Versions(conf)
    chosen = site.chosen(version)
    texts = _run(lambda: versions.history_of(site.storage).snapshot(chosen.name))
    wanted = versions.restoration(site.current(), texts)
    with mistakes_end_the_command():
        problems = [one for one in wanted.problems(site.registry) if not one.is_warning]
        if problems:
            raise ConfigError(problems)
    note = ConfigNote(_user(), reason or f"restored {chosen.name}")
    written = _run(lambda: versions.restore(site.storage, wanted, note))
    if as_json:
        print_json(
            {"restored": chosen.name, "version": written, "documents": sorted(wanted.documents)}
        )
        return
    click.echo(
        f"restored {chosen.name} in {site.place}; without --autoreload, apply it: pingap reload --wait"
    )


def _plain(version: ConfigVersion) -> dict[str, Any]:
    plain = asdict(version)
    plain.update(plain.pop("note"))
    return plain


def _masked(snapshot: Snapshot, registry: Registry) -> list[tuple[str, str]]:
    with mistakes_end_the_command():
        loaded = versions.load_version(snapshot, registry)
    directory = loaded.config.source.directory
    formats = formats_of(registry)
    shown = []
    for name, text in snapshot.kept().files:
        if suffix(name) in formats.suffixes - {"toml"}:
            shown.append((name, "(shown with --reveal only: it is not TOML)\n"))
        else:
            shown.append((name, masked_text(text, directory, loaded.models)))
    return shown


def _text_difference(before: Snapshot, after: Snapshot) -> Iterator[str]:
    old, new = dict(before.files), dict(after.files)
    for name in sorted(old.keys() | new.keys()):
        texts = (old.get(name, "").splitlines(), new.get(name, "").splitlines())
        yield from unified_diff(*texts, name, name, lineterm="")


def _time(version: ConfigVersion) -> str:
    return datetime.fromtimestamp(version.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _user() -> str:
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return f"uid {os.getuid()}"
