"""The value of ``-c``: ``etcd://host1:2379,host2:2379/prefix?user=..&password=..``.

Source: config.md, section 11.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final
from urllib.parse import parse_qsl

from pydantic import Field, ValidationError

from pingap import Duration, PluginSettings, Secret

DEFAULT_PORT: Final = 2379
TIMEOUT: Final = 3.0
"""Seconds for a request, by default; pingap gives a storage 10 seconds to be read."""
CONNECT_TIMEOUT: Final = 1.0
"""Seconds for connecting to one endpoint, by default."""

_EXAMPLE: Final = "expected etcd://HOST:PORT,HOST:PORT/PREFIX"
_ENDPOINT: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")
_FLAGS: Final = {"": True, "true": True, "false": False}


class Parameters(PluginSettings):
    """What may follow the question mark."""

    user: str = ""
    password: Secret | None = None
    timeout: Duration = TIMEOUT
    connect_timeout: Duration = CONNECT_TIMEOUT
    enable_history: bool = False
    tls: bool = False
    ca: str = Field("", min_length=1)
    cert: str = Field("", min_length=1)
    key: str = Field("", min_length=1)


@dataclass(frozen=True, slots=True)
class Location:
    """Where the configuration is, and how to get there.

    :param endpoints: URLs of the members of the cluster.
    :param prefix: of all keys, with a slash before it and none after it.
    :param timeout: seconds for a request.
    :param connect_timeout: seconds for connecting to one endpoint.
    :param enable_history: keep the previous text of what is written.
    :param ca: file of the authorities to trust; empty for those of the system.
    :param cert: file of a client certificate; empty for none.
    :param key: file of its key.
    """

    endpoints: tuple[str, ...]
    prefix: str
    user: str = ""
    password: str = field(default="", repr=False)
    timeout: float = TIMEOUT
    connect_timeout: float = CONNECT_TIMEOUT
    enable_history: bool = False
    ca: str = ""
    cert: str = ""
    key: str = ""


def parse_location(location: str) -> Location:
    """Read the value of ``-c``.

    ``password`` may also be ``$ENV:NAME`` or ``file:PATH``.

    :raises ValueError: it is invalid; the message contains no password.
    """
    rest = location.partition("://")[2]
    place, _, query = rest.partition("?")
    hosts, slash, path = place.partition("/")
    prefix = path.strip("/")
    if "@" in hosts:
        raise ValueError("found a user before the host, expected ?user=NAME&password=PASSWORD")
    if not slash or not prefix or "//" in prefix:
        raise ValueError(f"found no prefix of the keys, {_EXAMPLE}")
    given = _parameters(query)
    _check(given)
    scheme = "https" if given.tls or given.ca or given.cert else "http"
    return Location(
        endpoints=tuple(f"{scheme}://{one}" for one in _endpoints(hosts)),
        prefix=f"/{prefix}",
        user=given.user,
        password=given.password.get_secret_value() if given.password else "",
        timeout=given.timeout,
        connect_timeout=given.connect_timeout,
        enable_history=given.enable_history,
        ca=given.ca,
        cert=given.cert,
        key=given.key,
    )


def _endpoints(hosts: str) -> Iterator[str]:
    for one in hosts.split(","):
        found = _ENDPOINT.fullmatch(one.strip())
        if found is None or int(found[2] or DEFAULT_PORT) > 65535:
            raise ValueError(f"found the endpoint {one.strip()[:60]!r}, {_EXAMPLE}")
        yield f"{found[1]}:{found[2] or DEFAULT_PORT}"


def _parameters(query: str) -> Parameters:
    known, given = Parameters.model_fields, {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f" (known: {', '.join(known)})"
            raise ValueError(f"unknown parameter {name[:60]}{hint}")
        if name in given:
            raise ValueError(f"the parameter {name} is given twice")
        given[name] = _value(name, value)
    try:
        return Parameters.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"the parameter {first['loc'][0]}: {message}") from None


def _value(name: str, text: str) -> str | bool:
    if Parameters.model_fields[name].annotation is not bool:
        return text
    if text not in _FLAGS:
        raise ValueError(f"the parameter {name}: expected true or false")
    return _FLAGS[text]


def _check(given: Parameters) -> None:
    if bool(given.user) != bool(given.password):
        raise ValueError("user and password need each other")
    if bool(given.cert) != bool(given.key):
        raise ValueError("cert and key need each other")
    for name in ("timeout", "connect_timeout"):
        if not 0 < getattr(given, name) <= 60:
            raise ValueError(f"the parameter {name}: expected more than 0 and at most 60 seconds")
