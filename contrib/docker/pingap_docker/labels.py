"""The labels of one container, read as locations and backends. No IO."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from pingap_docker.containers import Container, Entry, NoAddress, bare_name, endpoint_of, ports_of

PREFIX: Final = "pingap."
LABELS: Final = (
    "enable",
    "host",
    "name",
    "network",
    "path",
    "plugins",
    "port",
    "server",
    "weight",
)
FURTHER: Final = ("location.", "upstream.")
"""``pingap.location.KEY`` sets a key of the location."""
_OTHER_LABEL: Final = {
    "location.host": "host",
    "location.path": "path",
    "location.plugins": "plugins",
    "location.servers": "server",
    "location.upstream": "name",
    "upstream.addrs": "port",
    "upstream.discovery": "port",
}
"""Keys that have a label of their own."""
_OF_ALL: Final = ("enable", "network")
"""Labels that hold for all locations of a container."""
_NUMBERED: Final = re.compile(r"([0-9]{1,3}\.)(.+)")
_KEY: Final = re.compile(r"[A-Za-z0-9_]+")
_MOST_PORT: Final = 65535
_MOST_WEIGHT: Final = 65535


class LabelError(Exception):
    """A label is wrong.

    :param label: its name, without the prefix and the number.
    :param reason: what was expected.
    """

    def __init__(self, label: str, reason: str) -> None:
        super().__init__(label, reason)
        self.label = label
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Route:
    """A location that the labels of one container ask for.

    :param container: its name.
    :param number: of the location, ``1.``; empty for labels without a number.
    :param name: of the location and of the upstream; empty if no label gives one.
    :param default_name: without the label: of its service, or its own.
    :param servers: names of servers; ``*``: all.
    :param keys: further keys, ``location.KEY`` or ``upstream.KEY`` -> value in TOML.
    :param addr: the entry of ``addrs``.
    :param is_healthy: requests may be sent to it.
    """

    container: str
    number: str
    name: str
    default_name: str
    host: str
    path: str
    servers: tuple[str, ...]
    plugins: tuple[str, ...]
    keys: Mapping[str, str]
    addr: str
    is_healthy: bool


def labels_of(container: Container) -> dict[str, str]:
    """Return the labels for pingap, without the prefix; none if the container is not enabled.

    :raises LabelError: ``pingap.enable`` is neither true nor false.
    """
    every: Mapping[str, str] = container.get("Labels") or {}
    found = {
        name.removeprefix(PREFIX): str(value).strip()
        for name, value in sorted(every.items())
        if name.startswith(PREFIX)
    }
    enabled = found.get("enable", "true").lower()
    if enabled not in ("true", "false"):
        raise LabelError("enable", f"found {in_quotes(found['enable'])}, expected true or false")
    return found if enabled == "true" else {}


def by_number(labels: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the labels of each location: ``1.`` for ``pingap.1.host``, empty for those without a number."""
    sets: dict[str, dict[str, str]] = {}
    for label, value in labels.items():
        match = _NUMBERED.fullmatch(label)
        number, rest = match.groups() if match else ("", label)
        if rest not in _OF_ALL or match:
            sets.setdefault(number, {})[rest] = value
    return sets or {"": dict(labels)}


def in_network(container: Container, network: str | None) -> Container:
    """Return a container as it is reached through one of its networks; None: through any.

    :raises LabelError: it is not in that network.
    """
    if network is None:
        return container
    networks = (container.get("NetworkSettings") or {}).get("Networks") or {}
    if network not in networks:
        known = ", ".join(sorted(networks)) or "none"
        text = f"the container is not in the network {in_quotes(network)}, only in: {known}"
        raise LabelError("network", text)
    return {**container, "NetworkSettings": {"Networks": {network: networks[network]}}}


def route_of(
    container: Container, number: str, labels: Mapping[str, str], servers: tuple[str, ...]
) -> Route:
    """Read the labels of a location.

    :param container: see ``in_network``.
    :param labels: see ``by_number``.
    :param servers: for containers without ``pingap.server``.
    :raises LabelError: one of them is wrong.
    """
    for label in _OF_ALL:
        if number and label in labels:
            raise LabelError(label, f"use {PREFIX}{label}, which holds for the whole container")
    keys = dict(_further_keys(labels))
    if not labels.get("host") and not labels.get("path"):
        raise LabelError("host", "missing, and so is pingap.path: one of them is needed")
    weight = _number(labels, "weight", 1, 0, _MOST_WEIGHT)
    entry = Entry("", _number(labels, "port", None, 1, _MOST_PORT))
    return Route(
        container=bare_name(container),
        name=labels.get("name", ""),
        number=number,
        default_name="-".join(filter(None, (_default_name(container), number[:-1]))),
        host=labels.get("host", ""),
        path=labels.get("path", ""),
        servers=_listed(labels, "server") or servers,
        plugins=_listed(labels, "plugins"),
        keys=keys,
        addr=f"{_address(container, entry)} {weight}",
        is_healthy=not str(container.get("Status", "")).endswith(
            ("(unhealthy)", "(health: starting)")
        ),
    )


def _default_name(container: Container) -> str:
    """Return the name of a Compose service, which all its containers share; otherwise that of the container."""
    labels: Mapping[str, str] = container.get("Labels") or {}
    parts = [labels.get(f"com.docker.compose.{key}", "") for key in ("project", "service")]
    return "-".join(parts) if all(parts) else bare_name(container)


def _further_keys(labels: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for label, value in labels.items():
        if label in LABELS:
            continue
        if label in _OTHER_LABEL:
            raise LabelError(label, f"use the label {PREFIX}{_OTHER_LABEL[label]}")
        table, _, key = label.partition(".")
        if f"{table}." not in FURTHER or not _KEY.fullmatch(key):
            near = get_close_matches(label, LABELS, n=1)
            hint = f"; did you mean {PREFIX}{near[0]}?" if near else ""
            raise LabelError(label, f"unknown label{hint}")
        yield label, _in_toml(value)


def _in_toml(text: str) -> str:
    """Return a value as TOML: numbers, booleans, arrays and tables as they are, anything else as a string."""
    try:
        found = tomllib.loads(f"value = {text}\n")
    except (
        ValueError,
        RecursionError,
    ):  # also: a number that is too long, arrays nested too deeply
        return in_quotes(text)
    is_written = found.keys() == {"value"} and "\n" not in text
    if is_written and isinstance(found["value"], bool | int | float | list | dict):
        return text
    return in_quotes(text)


def _number(
    labels: Mapping[str, str], label: str, default: int | None, least: int, most: int
) -> int | None:
    text = labels.get(label)
    if text is None:
        return default
    if text.isascii() and text.isdecimal() and len(text) < 9 and least <= int(text) <= most:
        return int(text)
    raise LabelError(label, f"found {in_quotes(text)}, expected a number from {least} to {most}")


def _listed(labels: Mapping[str, str], label: str) -> tuple[str, ...]:
    parts = (part.strip() for part in labels.get(label, "").split(","))
    return tuple(part for part in parts if part)


def _address(container: Container, entry: Entry) -> str:
    """Return ``ip:port`` of a container.

    :raises LabelError: it cannot be determined.
    """
    if entry.port is None and not any(ports_of(container)):
        raise LabelError("port", "missing, and the container exposes no port")
    try:
        return str(endpoint_of(container, entry))
    except NoAddress as error:
        raise LabelError("port", f"the container {error}") from None


def in_quotes(text: str) -> str:
    """Return a text as a string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
