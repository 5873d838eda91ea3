"""Loading a configuration, and reporting all its problems in one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from pydantic import BaseModel

from pingap.build.graph import build
from pingap.build.listeners import with_listeners
from pingap.build.machine import start_problems
from pingap.config import Config, ConfigError, Problem, Snapshot, load_snapshot
from pingap.host.privileges import account_problems
from pingap.observability.log_files import LogFiles
from pingap.plugins.registry import Registry

Item = TypeVar("Item", bound=BaseModel)


def load_configuration(snapshot: Snapshot, registry: Registry) -> Config:
    """Load a configuration from the text of its files.

    If it has problems, what is valid of it is still built, so that the operator sees all problems at
    once: those of plugins, certificates, variables and log formats, too.

    :raises ConfigError: with all problems.
    """
    try:
        config = load_snapshot(snapshot, claims=registry.claims)
    except ConfigError as error:
        if error.partial is None:
            raise
        more = _problems_of_rest(error.partial, error.problems, registry)
        raise ConfigError([*error.problems, *more]) from None
    return with_listeners(config, registry)


def _problems_of_rest(
    config: Config, problems: Iterable[Problem], registry: Registry
) -> list[Problem]:
    """Return the problems that building what is valid of a configuration finds."""
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
    """Return a configuration without the keys that are wrong, and without what needs them.

    Plugins and certificates stay as they are: each is checked by itself.
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
    """Return the items of a section with the default for each wrong key, as far as they have one."""
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
