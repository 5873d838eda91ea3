"""Keys: what a request asks for, as bytes (RFC 9111, 2).

The primary key is that of a URL at a location. What else makes a difference (``headers``, variants
of other plugins, an upstream that a plugin has chosen) is part of the keys of variants, so that
removing the primary entry makes all of them unreachable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from pingap import Headers, Request, RequestContext

LONGEST: Final = 200
"""Longer keys are hashed."""

_DEFAULT_PORTS: Final = {"http": b"80", "https": b"443"}


@dataclass(frozen=True, slots=True)
class KeyRules:
    """What of a request is part of a key.

    :param namespace: of the cache.
    :param headers: names of request headers in lower case.
    :param query_sort: whether the order of parameters counts.
    :param ignores: matches the names of parameters that do not count.
    """

    namespace: str
    headers: tuple[bytes, ...]
    query_sort: bool
    ignores: Callable[[str], object] | None

    def url(self, request: Request, ctx: RequestContext) -> str:
        """Return the URL that a request is for, with the query as it counts."""
        return origin(request, ctx) + self.target(request.target)

    def target(self, target: str) -> str:
        """Return path and query, with the query as it counts."""
        if "?" not in target or (self.ignores is None and not self.query_sort):
            return target
        path, _, query = target.partition("?")
        pairs = query.split("&")
        if (ignores := self.ignores) is not None:
            pairs = [pair for pair in pairs if not ignores(_name(pair))]
        if self.query_sort:
            pairs.sort(key=_name)  # (the order of several values of one name may count)
        return f"{path}?{'&'.join(pairs)}" if pairs else path

    def primary(self, location: str, url: str) -> bytes:
        """Return the primary key of a URL."""
        key = f"{self.namespace} {location} {url}".encode("utf-8", "surrogatepass")
        return key if len(key) <= LONGEST else blake2b(key, digest_size=32).digest()

    def extras(self, request: Request, ctx: RequestContext) -> bytes:
        """Return what makes a difference besides the URL; empty if nothing does."""
        variants, upstream = ctx.variants, ctx.upstream
        if not (variants or upstream or self.headers):
            return b""
        return self.extras_of(request.headers, variants, upstream)

    def extras_of(self, headers: Headers, variants: Mapping[str, str], upstream: str) -> bytes:
        """Return what makes a difference besides the URL.

        :param variants: those of other plugins.
        :param upstream: that a plugin has chosen; empty if none did.
        """
        if not (variants or upstream or self.headers):
            return b""
        parts = [upstream.encode()]
        for name in self.headers:
            value = headers.find(name)
            parts.append(b"-" if value is None else b"+" + value)  # absent is not empty
        parts += [f"{name}={value}".encode() for name, value in sorted(variants.items())]
        return b"".join(b"%d:%b" % (len(part), part) for part in parts)


def _name(pair: str) -> str:
    return pair.partition("=")[0]


def origin(request: Request, ctx: RequestContext) -> str:
    """Return scheme and authority of what a request is for, without the default port."""
    place = (ctx.scheme(request), request.host, request.headers.find(b"host"))
    found = _ORIGINS.get(place)
    if found is None:
        if len(_ORIGINS) >= _MOST_ORIGINS:  # clients choose them
            _ORIGINS.clear()
        found = _ORIGINS[place] = _origin(*place)
    return found


_ORIGINS: Final[dict[tuple[str, str, bytes | None], str]] = {}
_MOST_ORIGINS: Final = 1000


def _origin(scheme: str, host: str, raw: bytes | None) -> str:
    if raw is not None and b":" in raw:
        port = raw.rpartition(b":")[2]
        if port.isdigit() and port != _DEFAULT_PORTS.get(scheme):
            return f"{scheme}://{host}:{port.decode()}"
    return f"{scheme}://{host}"
