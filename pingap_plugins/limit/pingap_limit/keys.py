"""Whose limit it is: the key of a request, made of one or several of its properties."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple, TypeAlias

from pingap import Networks, NetworkSet, Request, RequestContext

_WITH_NAME: Final = ("header", "cookie", "query", "claim")
_ALONE: Final = ("ip", "host", "path", "user")
_TOKENS: Final = ("header", "cookie")
MAY_BE_MISSING: Final = (*_WITH_NAME, "user")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

_CLAIMS: Final = ("jwt", "oidc")
"""Where plugins that check tokens keep the claims of a request (``ctx.state``)."""
_MOST_CLIENTS: Final = 4096
"""Addresses that a worker remembers."""

Source: TypeAlias = Callable[[Request, RequestContext], "str | None"]


class Client(NamedTuple):
    """The address of a client.

    :param key: itself, or the network that shares a limit.
    :param allowed: it has no limit.
    """

    key: str
    allowed: bool


class Clients:
    """What is known of addresses.

    :param ipv6_prefix: length in bits of the IPv6 networks that share a limit.
    :param allowed: addresses without a limit.
    """

    def __init__(self, ipv6_prefix: int, allowed: Networks) -> None:
        self._ipv6_prefix = ipv6_prefix
        self._allowed = NetworkSet(allowed)
        self._known: dict[str, Client] = {}

    def __getitem__(self, address: str) -> Client:
        if (known := self._known.get(address)) is None:
            known = self._find(address)
            if self._allowed.changes:
                return known
            if len(self._known) >= _MOST_CLIENTS:
                self._known.clear()
            self._known[address] = known
        return known

    def _find(self, address: str) -> Client:
        try:
            ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
        except ValueError:  # a Unix socket, all of whose clients are one
            return Client(address or "-", allowed=False)
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        allowed = str(ip) in self._allowed
        if isinstance(ip, IPv6Address):
            kept = int(ip) >> 128 - self._ipv6_prefix << 128 - self._ipv6_prefix
            return Client(f"{IPv6Address(kept)}/{self._ipv6_prefix}", allowed)
        return Client(str(ip), allowed)


class Keys:
    """Makes the keys of requests.

    :param parts: kind and name of each property, the name empty if the kind has none.
    :param missing: ``ip`` puts the client in the place of a property that is missing.
    :param unlimited: values without a limit, if there is one property.
    """

    def __init__(
        self,
        parts: Sequence[tuple[str, str]],
        clients: Clients,
        missing: str,
        unlimited: Sequence[str],
    ) -> None:
        self._sources = [_source(kind, name, clients) for kind, name in parts]
        self._clients = clients
        self._only_ip = [kind for kind, _ in parts] == ["ip"]
        self._falls_back = missing == "ip"
        self._unlimited = frozenset(unlimited)

    def is_allowed(self, request: Request, ctx: RequestContext) -> bool:
        """Return whether the client, or the only property, has no limit."""
        if self._clients[ctx.client_ip(request)].allowed:
            return True
        return bool(self._unlimited) and self._sources[0](request, ctx) in self._unlimited

    def key(self, request: Request, ctx: RequestContext) -> str | None:
        """Return the key; None if a property is missing, and nothing takes its place."""
        if self._only_ip:
            return self._clients[ctx.client_ip(request)].key
        found = []
        for source in self._sources:
            value = source(request, ctx)
            if value:
                # With its length, or a client could write two values into one.
                found.append(f"{len(value)}={value}")
            elif self._falls_back:
                found.append(f"@{self._clients[ctx.client_ip(request)].key};")
            else:
                return None
        return "".join(found)


def parse_part(text: str) -> tuple[str, str]:
    """Read a property such as ``ip`` or ``header:X-Api-Key``.

    :raises ValueError: there is no such kind, it lacks its name, or no request has such a name.
    """
    kind, colon, name = text.partition(":")
    if kind in _ALONE and not colon:
        return kind, ""
    if kind in _TOKENS and name and not _TOKEN.fullmatch(name):
        raise ValueError(f'found "{text}", but "{name}" is not the name of a {kind}')
    if kind in _WITH_NAME and name:
        return kind, name
    known = ", ".join([*_ALONE, *(f"{one}:NAME" for one in _WITH_NAME)])
    raise ValueError(f'found "{text}", expected one of {known}')


def _source(kind: str, name: str, clients: Clients) -> Source:
    if kind == "ip":
        return lambda request, ctx: clients[ctx.client_ip(request)].key
    if kind == "header":
        key = name.lower().encode()
        return lambda request, ctx: _first(
            value.decode("latin-1") for value in request.headers.find_all(key)
        )
    if kind == "cookie":
        return lambda request, ctx: request.cookie(name)
    if kind == "query":
        return lambda request, ctx: _first(request.query_params.get_all(name))
    if kind == "claim":
        return lambda request, ctx: _claim(ctx, name)
    if kind == "user":
        return lambda request, ctx: ctx.user
    if kind == "host":
        return lambda request, ctx: request.host or "-"  # HTTP/1.0 may have none
    return lambda request, ctx: request.path


def _first(values: Iterable[str]) -> str | None:
    """Return the first value that is not empty.

    A plugin in front may accept a key that is sent twice, or beside an empty one. It is the same key then.
    """
    return next(filter(None, values), None)


def _claim(ctx: RequestContext, name: str) -> str | None:
    """Return a claim that is a text or a number."""
    for place in _CLAIMS:
        claims = ctx.state.get(place)
        value = claims.get(name) if isinstance(claims, Mapping) else None
        if isinstance(value, str | int | float):
            return str(value)
    return None
