"""Loading a configuration, and reporting all its problems in one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

import anyio
from pydantic import BaseModel

from pingap.build.additions import with_additions
from pingap.build.graph import build
from pingap.build.machine import start_problems
from pingap.build.storages import formats_of, places_of, storage_of
from pingap.config import Config, ConfigError, Problem, Snapshot, load_snapshot
from pingap.config.masking import redacted
from pingap.config.optional import without_wrong
from pingap.config.storage.errors import StorageError
from pingap.config.storage.files import FileStorage
from pingap.config.storage.interface import ConfigStorage
from pingap.host.privileges import account_problems
from pingap.host.time_limit import time_limit
from pingap.observability.log_files import LogFiles
from pingap.observability.plugin_failures import place_of as place_of_error
from pingap.plugins.registry import Registry

Item = TypeVar("Item", bound=BaseModel)


READ_SECONDS: Final = 10.0
"""How long reading a storage may take."""

BLOCKED_SECONDS: Final = 5.0
"""How long it may block the event loop beyond that."""


async def read_from(storage: ConfigStorage) -> Snapshot:
    """Read the texts of a configuration.

    :raises StorageError: it cannot be read, or not in time; the message shows no password.
    """
    if isinstance(storage, FileStorage):
        return storage.snapshot()
    snapshot: object = None
    with anyio.move_on_after(READ_SECONDS) as limit:
        try:
            snapshot = await storage.read()
        except StorageError as error:
            raise StorageError(redacted(str(error))) from None
        except Exception as error:  # of a distribution
            raise StorageError(f"it failed: {failure_of(error)}") from None
    if limit.cancelled_caught:
        raise StorageError(f"it did not answer within {READ_SECONDS:g} s")
    if not isinstance(snapshot, Snapshot):
        raise StorageError(f"read returned {type(snapshot).__name__}, expected a ConfigSnapshot")
    return snapshot


def failure_of(error: Exception) -> str:
    """Return the part of a storage's error that may be logged.

    Its text may contain the password of the URL. For the same reason, no traceback is logged, because it
    ends with the text.
    """
    text = redacted(f"{type(error).__name__}: {error}")
    place = place_of_error(error)
    return f"{text} ({place})" if place else text


def read_configuration(locations: Sequence[str], registry: Registry) -> Snapshot:
    """Read the texts of a configuration when no event loop is running.

    :param locations: as given to ``-c``.
    :raises ConfigError: there is no such storage, or it cannot be read. Errors in files are in the snapshot.
    """
    return read_now(storage_of(locations, registry), places_of(locations))


def read_now(storage: ConfigStorage, place: str) -> Snapshot:
    """Read a storage when no event loop is running.

    :param place: the place that problems show.
    :raises ConfigError: it cannot be read.
    """
    try:
        if isinstance(storage, FileStorage):
            return storage.snapshot()
        with time_limit(READ_SECONDS + BLOCKED_SECONDS):  # for a storage that blocks the event loop
            return anyio.run(read_from, storage)
    except (StorageError, TimeoutError) as error:
        raise ConfigError([Problem((), f"cannot be read: {error}", place)]) from None


def parse_configuration(snapshot: Snapshot, registry: Registry) -> Config:
    """Parse and validate the texts of a configuration.

    :raises ConfigError: with the problems that can be found without building.
    """
    return load_snapshot(snapshot, claims=registry.claims, formats=formats_of(registry))


def load_configuration(snapshot: Snapshot, registry: Registry) -> Config:
    """Load a configuration from the text of its files.

    If it has problems, the valid parts are built nevertheless, so that the operator sees all problems at
    once, including those of plugins, certificates, variables and log formats.

    :raises ConfigError: with all problems.
    """
    try:
        config = parse_configuration(snapshot, registry)
    except ConfigError as error:
        if error.partial is None:
            raise
        more = _problems_of_rest(error.partial, error.problems, registry)
        raise ConfigError([*error.problems, *more]) from None
    config = with_additions(config, registry)
    return _without_unbuildable(config, registry) if snapshot.optional else config


def _without_unbuildable(config: Config, registry: Registry) -> Config:
    """Return a configuration without optional documents that cannot be built."""
    while True:
        log_files = LogFiles(opens=False)
        try:
            build(config, registry, log_files=log_files)
        except ConfigError as error:
            smaller = without_wrong(config.snapshot, error.problems)
            if smaller is None:
                return config  # building it for use reports the problems
            config = with_additions(parse_configuration(smaller, registry), registry)
        else:
            return config
        finally:
            log_files.close()


def _problems_of_rest(
    config: Config, problems: Iterable[Problem], registry: Registry
) -> list[Problem]:
    """Return the problems found by building the valid parts of a configuration."""
    known = {problem.path for problem in problems}
    log_files = LogFiles(opens=False)
    rest = _without(config, known)
    found = start_problems(rest) if rest.servers else account_problems(rest)
    try:
        build(rest, registry, log_files=log_files)
    except ConfigError as error:
        found += error.problems
    finally:
        log_files.close()
    return [problem for problem in found if problem.path not in known]


def _without(config: Config, wrong: Iterable[tuple[object, ...]]) -> Config:
    """Return a configuration without the wrong keys and without the items that need them.

    Plugins and certificates are kept: each is checked by itself.
    """
    upstreams = _right(config.upstreams, "upstreams", wrong)
    locations = {
        name: one
        for name, one in _right(config.locations, "locations", wrong).items()
        if not one.upstream or one.upstream.startswith("$") or one.upstream in upstreams
    }
    servers = {
        name: one.model_copy(update={"locations": [x for x in one.locations if x in locations]})
        for name, one in _right(config.servers, "servers", wrong).items()
    }
    return replace(config, upstreams=upstreams, locations=locations, servers=servers)


def _right(
    items: Mapping[str, Item], section: str, wrong: Iterable[tuple[object, ...]]
) -> dict[str, Item]:
    """Return the items of a section with defaults for the wrong keys, where there is a default."""
    found = {}
    for name, item in items.items():
        keys = {str(path[2]) for path in wrong if path[:2] == (section, name) and len(path) > 2}
        fields = {key: field for key, field in type(item).model_fields.items() if key in keys}
        whole = (section, name) in wrong
        if whole or any(field.is_required() or key == "addrs" for key, field in fields.items()):
            continue
        defaults = {
            key: field.get_default(call_default_factory=True) for key, field in fields.items()
        }
        found[name] = item.model_copy(update=defaults)
    return found
