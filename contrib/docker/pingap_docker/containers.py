"""Entries of ``addrs``, and the addresses of containers. No IO."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from pingap import Endpoint

Container = Mapping[str, Any]
"""An element of the response of ``/containers/json``."""

_ENTRY = re.compile(r"(?P<label>[^\s:]+)(?::(?P<port>[0-9]{1,5}))?(?:\s+(?P<weight>[0-9]{1,9}))?")
_MOST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of ``addrs``: ``label[:port][ weight]``.

    :param label: ``key`` or ``key=value``.
    :param port: inside of the container; None for the first one that it exposes.
    """

    label: str
    port: int | None = None
    weight: int = 1


def parse_entry(text: str) -> Entry:
    """Read an entry of ``addrs``.

    :raises ValueError: it is malformed.
    """
    match = _ENTRY.fullmatch(text.strip())
    if match is None or match["label"].startswith("="):
        raise ValueError(
            f'found "{text}", expected a label such as "app=web", "app=web:8080" or "app=web:8080 2"'
        )
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 0 < port <= _MOST_PORT:
        raise ValueError(f'found "{text}", expected a port from 1 to {_MOST_PORT}')
    weight = int(match["weight"] or "1")
    if not weight:
        raise ValueError('found the weight "0", expected a whole number of at least 1')
    return Entry(match["label"], port, weight)


class NoAddress(Exception):
    """Requests cannot be sent to a container; the message gives the reason: "has no address"."""


def endpoint_of(container: Container, entry: Entry, *, ipv4_only: bool = False) -> Endpoint:
    """Return the address for requests to a container (config.md 6.1).

    A published port is used from outside, at the gateway of the container's network, which also works from
    within another container.

    :raises NoAddress: there is none.
    """
    if entry.port is not None:
        return Endpoint((_address(container, ipv4_only), entry.port), entry.weight)
    ports = sorted(ports_of(container, ipv4_only), key=_rank)
    if not ports:
        raise NoAddress(f"exposes no port: write {entry.label}:PORT")
    first = ports[0]
    if public := first.get("PublicPort"):
        outside = first.get("IP") or ""
        if not outside or ip_address(outside).is_unspecified:
            outside = _gateway(container)
        if outside:
            return Endpoint((outside, int(public)), entry.weight)
    return Endpoint((_address(container, ipv4_only), int(first["PrivatePort"])), entry.weight)


def ports_of(container: Container, ipv4_only: bool = False) -> Iterator[Mapping[str, Any]]:
    """Yield the TCP ports that a container exposes."""
    for port in container.get("Ports") or ():
        if port.get("Type", "tcp") == "tcp" and not (ipv4_only and ":" in (port.get("IP") or "")):
            yield port


def _rank(port: Mapping[str, Any]) -> tuple[int, bool, bool]:
    """Return the sort key of a port; Docker lists them in no order."""
    return port["PrivatePort"], "PublicPort" not in port, ":" in (port.get("IP") or "")


def _networks(container: Container) -> list[Mapping[str, Any]]:
    networks = (container.get("NetworkSettings") or {}).get("Networks") or {}
    return [networks[name] for name in sorted(networks) if networks[name]]


def _gateway(container: Container) -> str:
    return next((str(one["Gateway"]) for one in _networks(container) if one.get("Gateway")), "")


def _address(container: Container, ipv4_only: bool) -> str:
    keys = ("IPAddress",) if ipv4_only else ("IPAddress", "GlobalIPv6Address")
    for key in keys:
        for network in _networks(container):
            if network.get(key):
                return str(network[key])
    raise NoAddress("has no address of its own")


def name_of(container: Container) -> str:
    """Return the name of a container as messages show it."""
    return f'container "{bare_name(container)}"'


def bare_name(container: Container) -> str:
    """Return the name of a container; without one, the start of its identifier."""
    names = container.get("Names") or [str(container.get("Id", "?"))[:12]]
    return str(names[0]).removeprefix("/")
