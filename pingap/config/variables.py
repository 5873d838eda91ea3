"""``$variables`` in header values, compiled when the configuration is loaded.

A value is either a variable or plain text: ``prefix-$host`` is plain text, as in pingap 0.13.9, with a
warning.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from pingap.config.problem import did_you_mean
from pingap.config.units import wrong_type
from pingap.http.context import RequestContext
from pingap.http.forwarding import element
from pingap.http.headers import Field, Headers, field, header_key
from pingap.http.request import Request

Lookup: TypeAlias = Callable[[Request, RequestContext], str | None]

_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_-]*)|:([a-z][a-z0-9_]*)")
_PART = re.compile(r"\$(\{)?([A-Za-z_][A-Za-z0-9_]*)|(?<![A-Za-z0-9_/:]):([a-z]+_[a-z0-9_]+)")
"""Text that looks like a variable inside other text."""


def _forwarded_for(request: Request, ctx: RequestContext) -> str:
    """Return the hops from a trusted proxy, and the peer: only trusted proxies may extend the list."""
    return ", ".join(filter(None, (ctx.told(request).hops, ctx.connection.remote_addr)))


def _forwarded(request: Request, ctx: RequestContext) -> str:
    """Return ``Forwarded`` with an element for the peer after those of a trusted proxy."""
    told, connection = ctx.told(request), ctx.connection
    before = told.forwarded
    if not before and told.client:
        before = element(told.client, ctx.host(request), ctx.scheme(request))
    own = element(connection.remote_addr, request.headers.get("host") or "", connection.scheme)
    return f"{before}, {own}" if before else own


def _milliseconds(seconds: float | None) -> str | None:
    return None if seconds is None else str(int(seconds * 1000))


def _tls(request: Request, ctx: RequestContext, name: str) -> str | None:
    tls = ctx.connection.tls
    return None if tls is None else getattr(tls, name)


def _handshake_time(request: Request, ctx: RequestContext) -> str | None:
    """Return the handshake time for the first request only, because only that one waited for it."""
    tls = ctx.connection.tls
    first = ctx.connection.requests == 1
    return _milliseconds(tls.handshake_seconds) if tls is not None and first else None


def _age(began: float, ctx: RequestContext) -> str | None:
    return _milliseconds((ctx.ended_at or ctx.began_at) - began) if began else None


VARIABLES: dict[str, Lookup] = {
    "host": lambda request, ctx: ctx.host(request),
    "scheme": lambda request, ctx: ctx.scheme(request),
    "remote_addr": lambda request, ctx: ctx.connection.remote_addr,
    "remote_port": lambda request, ctx: str(ctx.connection.remote_port or ""),
    "server_addr": lambda request, ctx: ctx.connection.server_addr,
    "server_port": lambda request, ctx: ctx.port(request),
    "upstream_addr": lambda request, ctx: ctx.upstream_addr,
    "proxy_add_x_forwarded_for": _forwarded_for,
    "proxy_add_forwarded": _forwarded,
    # Not in pingap 0.13.9, which looks these up in the environment (its sample file suggests the first).
    "request_id": lambda request, ctx: ctx.request_id,
    "tls_client_subject": partial(_tls, name="client_subject"),
    "tls_client_fingerprint": partial(_tls, name="client_fingerprint"),
    "client_ip": lambda request, ctx: ctx.client_ip(request),
    "method": lambda request, ctx: request.method,
    "path": lambda request, ctx: request.target.partition("?")[0],
    "uri": lambda request, ctx: request.target,
    "args": lambda request, ctx: request.query,
}
"""``$name`` -> its lookup. ``$hostname``, ``$http_<name>`` and captures are handled separately."""

CONTEXT_KEYS: dict[str, Lookup] = {
    "connection_id": lambda request, ctx: str(ctx.connection.number),
    "connection_time": lambda request, ctx: _age(ctx.connection.began, ctx),
    "connection_reused": lambda request, ctx: str(ctx.connection.requests > 1).lower(),
    "tls_version": partial(_tls, name="version"),
    "tls_cipher": partial(_tls, name="cipher"),
    "tls_handshake_time": _handshake_time,
    "tls_client_subject": partial(_tls, name="client_subject"),
    "tls_client_fingerprint": partial(_tls, name="client_fingerprint"),
    "original_uri": lambda request, ctx: ctx.original.target,
    "processing": lambda request, ctx: str(ctx.processing),
    "location": lambda request, ctx: ctx.location,
    "upstream_addr": lambda request, ctx: ctx.upstream_addr,
    "upstream_status": lambda request, ctx: str(ctx.upstream_status or "-"),
    "upstream_reused": lambda request, ctx: str(ctx.upstream_reused).lower(),
    "upstream_connected": lambda request, ctx: str(ctx.upstream_connected or ""),
    "upstream_attempts": lambda request, ctx: (
        str(ctx.upstream_retries + 1) if ctx.upstream_addr else None
    ),
    "upstream_connect_time": lambda request, ctx: _milliseconds(ctx.upstream_connect_time),
    "upstream_tcp_connect_time": lambda request, ctx: _milliseconds(ctx.upstream_tcp_connect_time),
    "upstream_tls_handshake_time": lambda request, ctx: _milliseconds(
        ctx.upstream_tls_handshake_time
    ),
    "upstream_processing_time": lambda request, ctx: _milliseconds(ctx.upstream_processing_time),
    "upstream_response_time": lambda request, ctx: _milliseconds(ctx.upstream_response_time),
    "upstream_connection_time": lambda request, ctx: _age(ctx.upstream_connection_began, ctx),
    "user": lambda request, ctx: ctx.user,
    "service_time": lambda request, ctx: _milliseconds(ctx.service_time),
    # What a cache records (``ctx.timing``).
    "cache_lookup_time": lambda request, ctx: _milliseconds(ctx.timings.get("cache.lookup")),
    "cache_lock_time": lambda request, ctx: _milliseconds(ctx.timings.get("cache.lock")),
    # Set by distributions (``FROM_DISTRIBUTIONS``): empty for requests that do not involve them.
    "compression_time": lambda request, ctx: None,
    "compression_ratio": lambda request, ctx: None,
}
"""``:key`` -> a value of the request context (observability.md 1.3); times in milliseconds."""

FROM_DISTRIBUTIONS: Final = frozenset(("compression_time", "compression_ratio"))
"""Those that a distribution may give a value, if it is installed (``pingap_context_keys``)."""


class MoreKeys(Protocol):
    """Request values that do not belong to pingap itself."""

    def names(self) -> list[str]:
        """Return the names of all values."""

    def find(self, name: str) -> Lookup | None:
        """Return the lookup for a name; None if there is no such value.

        :raises ValueError: it cannot be used.
        """


_more: ContextVar[MoreKeys | None] = ContextVar("more context keys", default=None)


@contextmanager
def more_keys(keys: MoreKeys) -> Iterator[None]:
    """Make additional values known inside the block, in which a configuration is built."""
    token = _more.set(keys)
    try:
        yield
    finally:
        _more.reset(token)


def known_keys() -> list[str]:
    """Return the names of all values of a request, sorted."""
    more = _more.get()
    return sorted({*CONTEXT_KEYS, *(more.names() if more is not None else ())})


def _found_elsewhere(name: str) -> Lookup | None:
    more = _more.get()
    return more.find(name) if more is not None else None


class Value:
    """The value of a header entry: constant text or one variable.

    :param text: as written in the configuration.
    :raises ValueError: a variable that is neither known nor in the environment.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.lookup: Lookup | None = None
        self.constant = text
        if match := _VARIABLE.fullmatch(text):
            if (key := match[2]) is not None:
                self.lookup = context_lookup(key)
            else:
                self._use_variable(match[1])

    def _use_variable(self, name: str) -> None:
        if name in VARIABLES:
            self.lookup = VARIABLES[name]
        elif name == "hostname":
            self.constant = socket.gethostname()
        elif name.startswith("http_"):
            self.lookup = _header_lookup(name.removeprefix("http_"))
        elif (lookup := _found_elsewhere(name)) is not None:
            self.lookup = lookup
        elif name in os.environ:
            self.constant = os.environ[name]
        else:
            more = _more.get()
            others = more.names() if more is not None else []
            known = ", ".join(f"${one}" for one in sorted([*VARIABLES, *others]))
            raise ValueError(
                f"${name} is neither an environment variable nor one of {known}, "
                "$hostname, $http_<header>"
            )

    @property
    def literal_variable(self) -> str:
        """Text that is sent literally although it looks like a variable; empty if there is none."""
        if self.lookup is None and self.constant is self.text:
            for match in _PART.finditer(self.text):
                if match[3] in CONTEXT_KEYS or match[1] or _is_known(match[2] or ""):
                    return match[0] + ("}" if match[1] else "")
        return ""

    def expand(self, request: Request, ctx: RequestContext) -> str | None:
        """Return the text for this request; None if the variable has no value."""
        return self.constant if self.lookup is None else self.lookup(request, ctx) or None


def _is_known(name: str) -> bool:
    if name in VARIABLES or name == "hostname" or name.startswith("http_") or name in os.environ:
        return True
    more = _more.get()
    return more is not None and name in more.names()


def context_lookup(key: str) -> Lookup:
    """Return the lookup for ``:key``.

    :raises ValueError: there is no such key; the message lists the known ones.
    """
    if (lookup := find_context_key(key)) is None:
        known = ", ".join(known_keys())
        hint = did_you_mean(key, known_keys())
        raise ValueError(f":{key} is not a value of the request{hint} (keys: {known})")
    return lookup


def find_context_key(key: str) -> Lookup | None:
    """Return the lookup for ``:key``; with the suffix ``_human``, a time is written as ``1.1s``."""
    human = key.endswith("_time_human")
    name = key.removesuffix("_human") if human else key
    lookup = CONTEXT_KEYS.get(name)
    if lookup is None:
        return _found_elsewhere(key)
    if name in FROM_DISTRIBUTIONS:
        lookup = _found_elsewhere(name) or lookup
    return partial(_human, lookup) if human else lookup


def _human(lookup: Lookup, request: Request, ctx: RequestContext) -> str | None:
    value = lookup(request, ctx)
    return human_time(int(value) / 1000) if value else value


def human_time(seconds: float) -> str:
    """Return a duration with one decimal, truncated: ``512ms``, ``1.1s``, ``1.8m``."""
    for unit, factor in (("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= factor:
            tenths = int(seconds * 10 / factor)
            return f"{tenths // 10}.{tenths % 10}{unit}" if tenths % 10 else f"{tenths // 10}{unit}"
    return f"{int(seconds * 1000)}ms"


def _header_lookup(name: str) -> Lookup:
    """Return the lookup for a request header; ``_`` may stand for ``-``."""
    dashed = name.replace("_", "-")

    def lookup(request: Request, ctx: RequestContext) -> str | None:
        value = request.headers.get(dashed)
        return request.headers.get(name) if value is None else value

    return lookup


class HeaderEntry:
    """A configured header ``Name: value``, checked and encoded when configuration is loaded.

    It is the type of a setting, too: ``headers: list[HeaderEntry] = []`` takes an array of such text.

    :param text: as written in the configuration.
    :raises ValueError: no colon, a bad name or value, an unknown variable.
    """

    def __init__(self, text: str) -> None:
        name, colon, value = text.partition(":")
        if not colon:
            raise ValueError(f'{text!r} is not a header: expected "Name: value"')
        self.name = name.strip()
        self.key = header_key(self.name)
        self.value = Value(value.strip())
        self._constant = field(self.name, self.value.constant)
        self._is_constant = self.value.lookup is None

    def field(self, request: Request, ctx: RequestContext) -> Field | None:
        """Return the field for this request; None if its variable has no value."""
        if self._is_constant:
            return self._constant
        value = self.value.expand(request, ctx)
        return None if value is None else field(self.name, value)

    def __str__(self) -> str:
        return f"{self.name}: {self.value.text}"

    def __repr__(self) -> str:
        return f"HeaderEntry({str(self)!r})"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                str, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "string",
            "format": "pingap-header",
            "description": "A header as Name: value; the value may be a $variable.",
            "examples": ["X-Served-By: pingap", "X-Request-Id: $request_id"],
        }

    @classmethod
    def _read(cls, value: object) -> HeaderEntry:
        if isinstance(value, HeaderEntry):
            return value
        if not isinstance(value, str):
            raise wrong_type(value, 'a header such as "Name: value"')
        return cls(value)

    @property
    def constant(self) -> Field | None:
        """The field, if it is the same for every request."""
        return self._constant if self._is_constant else None

    def set(self, headers: Headers, request: Request, ctx: RequestContext) -> None:
        """Replace the fields with this name; without a value they are removed.

        Otherwise a client could supply the missing value.
        """
        if (prepared := self.field(request, ctx)) is not None:
            headers.replace(prepared)
        else:
            headers.remove(self.name)

    def add(self, headers: Headers, request: Request, ctx: RequestContext) -> None:
        """Append a field, unless the variable has no value."""
        if (prepared := self.field(request, ctx)) is not None:
            headers.append(prepared)
