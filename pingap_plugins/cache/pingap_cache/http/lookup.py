"""What a request means for the cache, before anything is looked up (RFC 9111, 4; RFC 9110, 13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pingap import Headers
from pingap_cache.http.directives import (
    NO_DIRECTIVES,
    RequestDirectives,
    request_directives,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A request as the cache sees it."""

    bypass: str = ""
    """Why the cache has no part in this request; empty if it has."""
    directives: RequestDirectives = NO_DIRECTIVES
    conditional: bool = False
    """Whether it has ``If-None-Match`` or ``If-Modified-Since``, which the cache may answer."""
    ranged: bool = False
    """Whether it asks for a part by ``Range``."""


PLAIN: Final = Lookup()
"""A request that asks for nothing special."""
_BYPASS: Final = {
    name: Lookup(bypass=f"the request has {text}")
    for name, text in (
        (b"if-match", "If-Match, which only the origin can judge"),
        (b"if-unmodified-since", "If-Unmodified-Since, which only the origin can judge"),
        (b"transfer-encoding", "a body"),
        (b"content-length", "a body"),
        (b"upgrade", "Upgrade"),
    )
}
_TELLING: Final = frozenset(
    {b"cache-control", b"if-none-match", b"if-modified-since", b"range", *_BYPASS}
)


def look_at(method: str, headers: Headers, *, heed_directives: bool = True) -> Lookup:
    """Say what a request wants of the cache.

    Only GET and HEAD are answered from it. Preconditions that are the origin's to judge (RFC 9110, 13.1.1
    and 13.1.4), bodies, which may change what a GET means, and upgrades lead around it.

    :param heed_directives: whether clients may ask for revalidation and the like with ``Cache-Control``
        (RFC 9111, 5.2.1).
    """
    if method not in ("GET", "HEAD"):
        return Lookup(bypass=f"the method is {method}")
    keys = headers.keys
    if _TELLING.isdisjoint(keys):
        return PLAIN
    for name, bypass in _BYPASS.items():
        if name in keys and (name != b"content-length" or headers.find(name) != b"0"):
            return bypass
    return Lookup(
        directives=request_directives(headers) if heed_directives else NO_DIRECTIVES,
        conditional=b"if-none-match" in keys or b"if-modified-since" in keys,
        ranged=method == "GET" and b"range" in keys,
    )
