"""Finds places: the line of a key, the line of a function, the plugins of a location."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pingap.build.runtime import Runtime
from pingap.config import Config, Source
from pingap.config.problem import KeyPath
from pingap.plugins.chains import Instance


@dataclass(frozen=True, slots=True)
class Place:
    """A file and a line of it; the line, or both, may be unknown."""

    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        if self.file is None:
            return ""
        return self.file if self.line is None else f"{self.file}:{self.line}"


def place_of_key(source: Source, path: KeyPath) -> Place:
    """Return the place of a key in the configuration, or of the table around it."""
    found = source.problem(path, "")
    return Place(found.file, found.line)


def place_of_code(function: Callable[..., Any]) -> Place:
    """Return where a function of a plugin is defined, below its decorators."""
    function = inspect.unwrap(function)
    try:
        lines, first = inspect.getsourcelines(function)
        file = inspect.getsourcefile(function)
    except (OSError, TypeError):  # compiled, or created without a file
        return Place()
    words = ("def ", "async def ")
    offset = next((at for at, line in enumerate(lines) if line.lstrip().startswith(words)), 0)
    return Place(_short(file), first + offset)


def _short(file: str | None) -> str | None:
    """Return a path relative to the current directory, if it is below it."""
    if file is None:
        return None
    path = Path(os.path.abspath(file))  # noqa: PTH100 - resolve() would follow links
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def place_of_instance(config: Config, name: str, claimed: Mapping[str, KeyPath]) -> Place:
    """Return the place where a plugin is configured; empty if it is built in.

    :param claimed: ``Runtime.claimed``.
    """
    if name in claimed:
        return place_of_key(config.source, claimed[name])
    if name in config.plugins:
        return place_of_key(config.source, ("plugins", name))
    return Place()


def instances_of_server(runtime: Runtime, server: str) -> list[Instance]:
    """Return the plugins that take part in all phases of the requests of a server."""
    listed = runtime.config.servers[server].plugins
    claimed = [
        name
        for name, path in runtime.claimed.items()
        if path[0] == "basic" or path[:2] == ("servers", server)
    ]
    return [one for one in runtime.plugins if one.name in claimed or one.name in listed]


def instances_of(config: Config, location: str, built: dict[str, Instance]) -> list[Instance]:
    """Return the plugins of a location in the order in which they run.

    :param built: every built instance by name.
    """
    settings = config.locations[location]
    names = [*(f"{location}.{key}" for key in settings.claimed), *settings.plugins]
    return [built[name] for name in names if name in built]
