"""A configuration described in Python: tables, and plugins that are not installed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from pingap.plugins.base import Plugin, PluginSettings

PluginLike: TypeAlias = (
    str | Plugin | type[Plugin] | tuple[str | type[Plugin], Mapping[str, object]]
)
"""A plugin of a location: the name of an instance; an object; a class, or (category or class, settings as in
TOML)."""

SERVER = "web"
UPSTREAM = "upstream"

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Description:
    """The tables of a configuration with one server, ``web``.

    :param upstream: address of the default upstream of locations; empty for none.
    """

    def __init__(self, upstream: str = "") -> None:
        self.categories: list[type[Plugin]] = []
        """Classes that the configuration needs."""
        self._tables: dict[str, dict[str, dict[str, object]]] = {}
        self._basic: dict[str, object] = {"trusted_proxies": ["127.0.0.1/32"]}
        self._locations: list[str] = []
        self._objects: dict[int, str] = {}
        self._has_upstream = bool(upstream)
        if upstream:
            self.configure(f"upstreams.{UPSTREAM}", {"addrs": [upstream]})
        self.configure(f"servers.{SERVER}", {"addr": "127.0.0.1:0", "access_log": "combined"})

    def configure(self, table: str, keys: Mapping[str, object]) -> None:
        """Set keys of ``basic`` or of ``<section>.<name>``."""
        section, _, name = table.partition(".")
        if section == "basic":
            self._basic.update(keys)
        elif name:
            self._tables.setdefault(section, {}).setdefault(name, {}).update(keys)
        else:
            raise ValueError(f'found "{table}", expected "basic" or "<section>.<name>"')

    def location(
        self, path: str, plugins: Iterable[PluginLike], name: str, keys: Mapping[str, object]
    ) -> str:
        """Add a location, and return its name."""
        word = re.sub(r"\W+", "_", path).strip("_") or "root"
        name = name or self._free("locations", word)
        table: dict[str, object] = {"path": path, "plugins": [self._plugin(one) for one in plugins]}
        if self._has_upstream:
            table["upstream"] = UPSTREAM
        self.configure(f"locations.{name}", {**table, **keys})
        self._locations.append(name)
        return name

    def _free(self, section: str, word: str) -> str:
        """Return the word, or the word with a number appended, as an unused name."""
        taken = self._tables.get(section, {})
        number, name = 1, word
        while name in taken:
            number += 1
            name = f"{word}_{number}"
        return name

    def _plugin(self, plugin: PluginLike) -> str:
        """Return the name of a plugin instance, adding its table if there is none."""
        if isinstance(plugin, str):
            return plugin
        if isinstance(plugin, Plugin):
            return self._object(plugin)
        kind, settings = plugin if isinstance(plugin, tuple) else (plugin, {})
        if isinstance(kind, type):
            self.categories.append(kind)
            kind = kind.category
        name = self._free("plugins", kind)
        self.configure(f"plugins.{name}", {"category": kind, **settings})
        return name

    def _object(self, plugin: Plugin) -> str:
        if (name := self._objects.get(id(plugin))) is None:
            name = self._objects[id(plugin)] = self._free("plugins", type(plugin).category)
            cls = _class_of(plugin, f"{name} (object)")
            self.categories.append(cls)
            self.configure(f"plugins.{name}", {"category": cls.category})
        return name

    def toml(self) -> str:
        """Return the configuration as text."""
        if not self._locations:  # everything goes to the upstream
            self.location("/", (), "", {})
        self._tables["servers"][SERVER].setdefault("locations", self._locations)
        lines = ["[basic]", *_lines(self._basic)]
        for section, tables in self._tables.items():
            for name, table in tables.items():
                lines += ["", f"[{section}.{_key(name)}]", *_lines(table)]
        return "\n".join([*lines, ""])


def _class_of(plugin: Plugin, category: str) -> type[Plugin]:
    """Return a class whose only instance is the given plugin."""
    cls = type(plugin)

    def give(*_: object) -> Plugin:
        return plugin

    body: dict[str, Any] = {"category": category, "Settings": PluginSettings, "__new__": give}
    return type(cls.__name__, (cls,), {**body, "__module__": cls.__module__})


def _lines(table: Mapping[str, object]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}" for key, value in table.items()]


def _key(text: str) -> str:
    return text if _BARE_KEY.fullmatch(text) else _string(text)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(_lines(value)) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return _string(str(value))
