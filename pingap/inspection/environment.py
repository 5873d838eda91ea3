"""The texts of some tables that contain environment variables, without secrets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from pingap.build.claims import written as table_of
from pingap.build.runtime import Runtime
from pingap.config import SECTIONS, BasicConfig
from pingap.config.environment import FromEnvironment
from pingap.config.masking import MASK, masked
from pingap.config.problem import KeyPath, dotted
from pingap.config.secret_keys import sounds_secret
from pingap.inspection.places import Place, place_of_key


@dataclass(frozen=True, slots=True)
class Replaced:
    """A text of the configuration in which environment variables were replaced.

    :param key: the path of its key.
    :param written: the text in the file.
    :param value: the text that is used; ``***`` if it is a secret.
    """

    key: str
    written: str
    value: str
    place: Place


def replaced_in(runtime: Runtime, paths: Iterable[KeyPath]) -> list[Replaced]:
    """Return the texts of some tables in which variables were replaced.

    :param paths: of the tables; those of built-in plugins are in no file and have none.
    """
    tables = runtime.config.tables
    configured = [path for path in paths if len(path) == 1 or path[1] in tables[str(path[0])]]
    return [one for path in dict.fromkeys(configured) for one in _of_table(runtime, path)]


def _of_table(runtime: Runtime, path: KeyPath) -> Iterator[Replaced]:
    section, directory = str(path[0]), runtime.config.source.directory
    models: list[type[BaseModel]] = [
        BasicConfig if section == "basic" else SECTIONS[section],
        *(
            type(one.plugin).Settings
            for one in runtime.plugins
            if runtime.claimed.get(one.name, ("plugins", one.name, ""))[:-1] == path
        ),
    ]
    for key, value in table_of(runtime.config, path).items():
        hidden = masked(section, key, _plain(value), models, directory)
        shown = masked(section, key, value, models, directory)
        yield from _replaced(runtime, (*path, key), (value, shown, hidden))


def _replaced(runtime: Runtime, path: KeyPath, forms: tuple[Any, Any, Any]) -> Iterator[Replaced]:
    """Yield the texts in a value.

    :param forms: the value, and what may be shown of it, as written and as used.
    """
    value, shown, hidden = forms
    if isinstance(value, FromEnvironment):
        names = runtime.config.source.environment.get(path, "").replace("$", "").split(", ")
        secret = any(map(sounds_secret, names)) or hidden == MASK
        place = place_of_key(runtime.config.source, path)
        yield Replaced(dotted(path), str(shown), MASK if secret else str(hidden), place)
    elif isinstance(value, dict):
        for key in value:
            yield from _replaced(runtime, (*path, key), (value[key], shown[key], hidden[key]))
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from _replaced(runtime, (*path, at), (one, shown[at], hidden[at]))


def _plain(value: Any) -> Any:
    """Return a value as plain data, as if the file had it."""
    if isinstance(value, FromEnvironment):
        return str.__str__(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value
