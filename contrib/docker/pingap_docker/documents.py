"""A configuration of the labels of all containers: one document of TOML for each location. No IO."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pingap import ConfigProblem, ConfigSnapshot
from pingap_docker.containers import Container, bare_name
from pingap_docker.labels import (
    PREFIX,
    LabelError,
    Route,
    by_number,
    in_network,
    in_quotes,
    labels_of,
    route_of,
)

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass
class _Found:
    """The locations and documents found so far.

    :param groups: host, path and servers -> the containers of a location.
    :param texts: name of a document -> its text.
    :param names: name of a document -> key -> its label.
    """

    groups: dict[tuple[object, ...], list[Route]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    names: dict[str, dict[str, str]] = field(default_factory=dict)
    warnings: list[ConfigProblem] = field(default_factory=list)

    def add(self, container: Container, servers: tuple[str, ...]) -> None:
        """Add the locations of a container."""
        try:
            labels = labels_of(container)
            reached = in_network(container, labels.get("network"))
        except LabelError as error:
            self._leave_out(container, "", error)
            return
        for number, own in by_number(labels).items():
            try:
                if own:
                    self._add_to_group(route_of(reached, number, own, servers))
            except LabelError as error:
                self._leave_out(container, number, error)

    def _add_to_group(self, route: Route) -> None:
        group = self.groups.setdefault((route.host, route.path, route.servers), [])
        _require_equal(route, group)
        group.append(route)

    def _leave_out(self, container: Container, number: str, error: LabelError) -> None:
        """Report a location; its document changes the version of the configuration, so that it is logged."""
        document = _document(bare_name(container), number)
        text = f"label {PREFIX}{number}{error.label}: {error.reason}; this is left out"
        self.texts[document] = f"# {in_quotes(text)}\n"
        self.warnings.append(ConfigProblem((), text, document, is_warning=True))


def snapshot_of(containers: Iterable[Container], servers: tuple[str, ...]) -> ConfigSnapshot:
    """Return the configuration that the labels of containers describe.

    Containers with the same host, path and servers are backends of one upstream. One whose labels are
    wrong is left out, with a warning; so is one whose document is wrong, by pingap.

    :param containers: the running ones.
    :param servers: for containers without ``pingap.server``.
    """
    found = _Found()
    for container in sorted(containers, key=bare_name):
        found.add(container, servers)
    for group in found.groups.values():
        if group:
            document = _document(group[0].container, group[0].number)
            found.texts[document] = _toml(group)
            found.names[document] = _names(group[0])
    return ConfigSnapshot(
        files=tuple(sorted(found.texts.items())),
        warnings=tuple(found.warnings),
        optional={name: found.names.get(name, {}) for name in found.texts},
    )


def _document(container: str, number: str) -> str:
    """Return the name of a document, as warnings show it."""
    return f'container "{container}"' + (f" ({number[:-1]})" if number else "")


def _require_equal(route: Route, group: list[Route]) -> None:
    """Check that a container asks for the same as the others with its host and path.

    :raises LabelError: it does not.
    """
    if not group:
        return
    first = group[0]
    for label in ("plugins", "name"):
        mine, other = getattr(route, label), getattr(first, label)
        if mine != other:
            raise LabelError(label, _differs(mine, other, first))
    for key in sorted({*route.keys, *first.keys}):
        if route.keys.get(key) != first.keys.get(key):
            raise LabelError(key, _differs(route.keys.get(key), first.keys.get(key), first))


def _differs(mine: object, other: object, first: Route) -> str:
    return (
        f'{_shown(mine)} here and {_shown(other)} in container "{first.container}", which has the same'
        " host and path"
    )


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        value = ", ".join(value)
    return str(value) if value else "nothing"


def _toml(group: list[Route]) -> str:
    """Return the document of a group; without a healthy container, requests are sent to all of them."""
    first = group[0]
    backends = [one.addr for one in group if one.is_healthy] or [one.addr for one in group]
    name = in_quotes(first.name or first.default_name)
    location = {
        "host": in_quotes(first.host),
        "path": in_quotes(first.path),
        "servers": _array(first.servers),
        "plugins": _array(first.plugins),
        "upstream": name,
    }
    upstream = {"addrs": _array(backends)}
    for label, value in first.keys.items():
        table, _, key = label.partition(".")
        (location if table == "location" else upstream)[key] = value
    lines = [f"[locations.{name}]", *_lines(location)]
    lines += [f"[upstreams.{name}]", *_lines(upstream)]
    return "\n".join(lines) + "\n"


def _lines(table: Mapping[str, str]) -> list[str]:
    return [f"{key} = {value}" for key, value in table.items()]


def _array(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(in_quotes, texts))}]"


def _names(route: Route) -> dict[str, str]:
    """Return the label of each key of a document, for warnings of pingap."""
    name = route.name or route.default_name
    name = name if _BARE.fullmatch(name) else in_quotes(name)
    keys = {
        f"locations.{name}": "name",
        f"upstreams.{name}": "name",
        f"locations.{name}.servers": "server",
    }
    for key in ("host", "path", "plugins"):
        keys[f"locations.{name}.{key}"] = key
    for label in route.keys:
        table, _, key = label.partition(".")
        keys[f"{table}s.{name}.{key}"] = label
    prefix = f"{PREFIX}{route.number}"
    named = {key: f"label {prefix}{label}" for key, label in keys.items()}
    return {**named, f"upstreams.{name}.addrs": f"labels {prefix}port and {prefix}weight"}
