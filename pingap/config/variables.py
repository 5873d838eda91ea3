"""The values of a request that the configuration can refer to as ``$name``, and how each is found."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Final, NamedTuple, Protocol, TypeAlias

from pingap.config.problem import did_you_mean
from pingap.http.context import RequestContext
from pingap.http.forwarding import element
from pingap.http.paths import as_sent
from pingap.http.request import Request

Lookup: TypeAlias = Callable[[Request, RequestContext], str | None]


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


def _client_verify(request: Request, ctx: RequestContext) -> str | None:
    tls = ctx.connection.tls
    if tls is None:
        return None
    return "SUCCESS" if tls.client_fingerprint else "NONE"


def _handshake_time(request: Request, ctx: RequestContext) -> str | None:
    """Return the handshake time for the first request only, because only that one waited for it."""
    tls = ctx.connection.tls
    first = ctx.connection.requests == 1
    return _milliseconds(tls.handshake_seconds) if tls is not None and first else None


def _age(began: float, ctx: RequestContext) -> str | None:
    return _milliseconds((ctx.ended_at or ctx.began_at) - began) if began else None


class Variable(NamedTuple):
    """A variable: how its value is found, and what the manual says about it."""

    lookup: Lookup
    about: str


VARIABLES: dict[str, Variable] = {
    "host": Variable(
        lambda request, ctx: ctx.host(request), "the host that the client requested, without port"
    ),
    "scheme": Variable(
        lambda request, ctx: ctx.scheme(request), "`http` or `https`, as used by the client"
    ),
    "method": Variable(lambda request, ctx: request.method, "the method"),
    "request_method": Variable(lambda request, ctx: request.method, "the same"),
    "request_uri": Variable(
        lambda request, ctx: ctx.original.target,
        "path and query as the client sent them, before plugins rewrote them",
    ),
    "uri": Variable(lambda request, ctx: request.target, "path and query, as rewritten"),
    "path": Variable(
        lambda request, ctx: request.target.partition("?")[0], "the path, as rewritten"
    ),
    "args": Variable(lambda request, ctx: request.query, "the query, without `?`"),
    "query_string": Variable(lambda request, ctx: request.query, "the same"),
    "is_args": Variable(
        lambda request, ctx: "?" if request.query else "", "`?` if there is a query"
    ),
    "server_protocol": Variable(
        lambda request, ctx: f"HTTP/{request.http_version}", "`HTTP/1.1`, `HTTP/2.0`"
    ),
    "remote_addr": Variable(
        lambda request, ctx: ctx.connection.remote_addr, "the peer of the connection"
    ),
    "remote_port": Variable(
        lambda request, ctx: str(ctx.connection.remote_port or ""), "the port of the peer"
    ),
    "client_ip": Variable(
        lambda request, ctx: ctx.client_ip(request),
        "the client's address, also behind trusted proxies",
    ),
    "server_addr": Variable(
        lambda request, ctx: ctx.connection.server_addr, "the local address of the connection"
    ),
    "server_port": Variable(
        lambda request, ctx: ctx.port(request),
        "the port that the client connected to: the local port, unless a trusted proxy forwards another one",
    ),
    "upstream_addr": Variable(lambda request, ctx: ctx.upstream_addr, "the chosen peer"),
    "upstream_host": Variable(
        lambda request, ctx: ctx.upstream_host,
        "the chosen peer as configured: what a request without `Host` gets as `Host`",
    ),
    "proxy_add_x_forwarded_for": Variable(
        _forwarded_for,
        "`X-Forwarded-For` from a trusted proxy with the peer appended, otherwise the peer",
    ),
    "proxy_add_forwarded": Variable(_forwarded, "the same for `Forwarded`"),
    "request_id": Variable(
        lambda request, ctx: ctx.request_id, "the ID from a `request_id` plugin"
    ),
    "ssl_protocol": Variable(
        partial(_tls, name="version"), "version of TLS of the client's connection: `TLSv1.3`"
    ),
    "ssl_cipher": Variable(partial(_tls, name="cipher"), "its cipher"),
    "ssl_client_verify": Variable(
        _client_verify,
        "`SUCCESS` with a client certificate, `NONE` without one; no value without TLS",
    ),
    "ssl_client_s_dn": Variable(
        partial(_tls, name="client_subject"), "subject of the client certificate, as in RFC 4514"
    ),
    "ssl_client_fingerprint": Variable(
        partial(_tls, name="client_fingerprint"), "SHA-256 of the client certificate"
    ),
    "tls_client_subject": Variable(
        partial(_tls, name="client_subject"), "the same as `$ssl_client_s_dn`"
    ),
    "tls_client_fingerprint": Variable(
        partial(_tls, name="client_fingerprint"), "the same as `$ssl_client_fingerprint`"
    ),
}
"""``$name`` -> the variable. Those with a prefix and captures are handled separately."""

PREFIXES: Final[dict[str, tuple[Callable[[str], Lookup], str]]] = {
    "http_": (
        lambda name: _header_lookup(name),
        "a request header; `_` stands for `-`. Several lines are joined into one list: `1, 2`",
    ),
    "cookie_": (
        lambda name: lambda request, ctx: request.cookie(name),
        "a cookie",
    ),
    "arg_": (
        lambda name: lambda request, ctx: request.query_value(name),
        "the first query parameter of this name, as sent",
    ),
}
"""``$prefix<name>`` -> what makes its lookup from the name, and what the manual says about it."""


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


_captured: ContextVar[Sequence[str]] = ContextVar("captured", default=())


@contextmanager
def captures(names: Sequence[str]) -> Iterator[None]:
    """Make the named groups of a location variables inside the block."""
    token = _captured.set(names)
    try:
        yield
    finally:
        _captured.reset(token)


def known_keys() -> list[str]:
    """Return the names of all values of a request, sorted."""
    more = _more.get()
    return sorted({*CONTEXT_KEYS, *(more.names() if more is not None else ())})


def _found_elsewhere(name: str) -> Lookup | None:
    more = _more.get()
    return more.find(name) if more is not None else None


class UnknownVariableError(ValueError):
    """There is no such variable."""


def find_variable(name: str) -> Lookup | str:
    """Return the lookup of ``$name``, or its value if that is the same for all requests.

    :raises ValueError: there is no such variable; the message lists the known ones.
    """
    if name in VARIABLES:
        return VARIABLES[name].lookup
    if name == "hostname":
        return socket.gethostname()
    if name in _captured.get():
        return _capture_lookup(name)
    for prefix, (make, _) in PREFIXES.items():
        if name.startswith(prefix) and name != prefix:
            return make(name.removeprefix(prefix))
    if (lookup := find_context_key(name)) is not None:
        return lookup
    raise UnknownVariableError(f"${name} is neither an environment variable nor {_known(name)}")


def _known(name: str) -> str:
    """Return the known variables, and the one whose name is nearest."""
    known = sorted({*VARIABLES, *_captured.get(), *known_keys()})
    listed = ", ".join(
        f"${one}" for one in [*known, "hostname", *(f"{one}<name>" for one in PREFIXES)]
    )
    hint = did_you_mean(name, known).replace('mean "', 'mean "$')
    return f"one of {listed}{hint}"


def is_variable(name: str) -> bool:
    """Return whether there is a variable of this name."""
    try:
        find_variable(name)
    except UnknownVariableError:
        return False
    except ValueError:  # of a distribution that cannot be loaded
        pass
    return True


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


def _capture_lookup(name: str) -> Lookup:
    """Return the lookup for a named group of the location; characters beyond ASCII are escaped."""

    def lookup(request: Request, ctx: RequestContext) -> str | None:
        return as_sent(ctx.captures.get(name, ""))

    return lookup
