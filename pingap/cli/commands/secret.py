"""``pingap secret``: encrypted values of ``[storages.<name>]``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import click

from pingap.build.loading import read_configuration
from pingap.build.registry import installed_registry
from pingap.build.storages import formats_of, storage_of
from pingap.cli.commands.common import conf_option, configuration_paths, mistakes_end_the_command
from pingap.config.editing.toml_text import Items
from pingap.config.files import parse_files
from pingap.config.kinds import resolve_secret
from pingap.config.references import file_reference
from pingap.config.sealed import seal, unseal
from pingap.config.storage.errors import StorageError

_ENVIRONMENT = "$ENV:"
secret_option = click.option(
    "--secret",
    required=True,
    metavar="REFERENCE",
    help="Where the secret is: $ENV:NAME or file:PATH; an argument could be seen by others.",
)


@click.group()
def command() -> None:
    """Encrypt values of [storages.<name>], and change their secret."""


@command.command()
@secret_option
def encrypt(secret: str) -> None:
    """Encrypt standard input; print what belongs into "value"."""
    with _failures():
        click.echo(seal(_resolved(secret, Path()), sys.stdin.read()))


@command.command()
@secret_option
def decrypt(secret: str) -> None:
    """Decrypt a value from standard input."""
    with _failures():
        click.echo(unseal(_resolved(secret, Path()), sys.stdin.read()), nl=False)


@command.command()
@conf_option
@click.option("--old", required=True, metavar="REFERENCE", help="The present secret.")
@click.option("--new", required=True, metavar="REFERENCE", help="The next one.")
def rotate(conf: tuple[str, ...], old: str, new: str) -> None:
    """Encrypt all values that have the secret OLD with NEW, and let "secret" refer to NEW.

    Both are $ENV:NAME or file:PATH, relative to the configuration. All documents are written, or none. A value that
    cannot be decrypted is an error.
    """
    paths = configuration_paths(conf)
    if not paths:
        raise click.UsageError("where is the configuration? Give -c PATH")
    registry = installed_registry()
    with mistakes_end_the_command():
        storage = storage_of(paths, registry)
        snapshot = read_configuration(paths, registry)
    directory = Path(snapshot.directory)
    items: dict[tuple[str | int, ...], Mapping[str, Any] | None] = {}
    with _failures():
        secrets = _resolved(old, directory), _resolved(new, directory)
        for document in parse_files(snapshot, formats_of(registry)).documents:
            for name, table in document.data.get("storages", {}).items():
                if (changed := _rotated(name, table, directory, secrets, new)) is not None:
                    items["storages", name] = changed

        async def write(changes: Items) -> None:
            await storage.write_items(changes, expected=snapshot.version)

        if items:
            anyio.run(write, items)
    names = ", ".join(str(path[1]) for path in items) or "none"
    click.echo(f"encrypted with the new secret: {names}")


def _rotated(
    name: str, table: Any, directory: Path, secrets: tuple[str, str], reference: str
) -> dict[str, Any] | None:
    """Return a storage with the new secret; None if it does not have the old one."""
    secret = table.get("secret") if isinstance(table, dict) else None
    if not isinstance(secret, str) or not secret:
        return None
    if resolve_secret(secret, directory) != secrets[0]:
        return None
    value = str(table.get("value", ""))
    if file_reference(value) is not None or value.startswith(_ENVIRONMENT):
        raise ValueError(f"storages.{name}.value: it is elsewhere; encrypt it there by hand")
    try:
        return {**table, "value": seal(secrets[1], unseal(secrets[0], value)), "secret": reference}
    except ValueError as error:
        raise ValueError(f"storages.{name}.value: {error}") from None


def _resolved(reference: str, directory: Path) -> str:
    if file_reference(reference) is None and not reference.startswith(_ENVIRONMENT):
        raise ValueError("expected $ENV:NAME or file:PATH for a secret, not the secret itself")
    return resolve_secret(reference, directory)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except (ValueError, StorageError) as error:
        click.echo(f"pingap: {error}", err=True)
        sys.exit(2)
