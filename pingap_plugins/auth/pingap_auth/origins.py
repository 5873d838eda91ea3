"""Where a request of a browser comes from: ``Origin`` and ``Sec-Fetch-Site``."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from pingap import Request, RequestContext

_ORIGIN: Final = re.compile(
    r"(https?)://([^/?#@:\s\[\]]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?"
).fullmatch
_PORTS: Final = {"http": "80", "https": "443"}


def normalised(origin: str) -> str:
    """Return an origin in lower case, with its port.

    :raises ValueError: not the origin of a web page.
    """
    match = _ORIGIN(origin.lower())
    if match is None:
        raise ValueError(f"{origin!r:.80} is not an origin such as https://shop.example.com")
    return f"{match[1]}://{match[2].removesuffix('.')}:{match[3] or _PORTS[match[1]]}"


def is_foreign(request: Request, ctx: RequestContext, trusted: Collection[str]) -> bool:
    """Return whether a browser says that another site has caused this request.

    Clients that are not browsers say nothing, and are not foreign.

    :param trusted: normalised origins that may.
    """
    origins = request.headers.get_all("origin")
    if origins:
        return not all(_is_own(one, request, ctx, trusted) for one in origins)
    # Without Origin no trusted one can be recognised; "none" is what a user has typed or opened.
    return any(
        one not in ("same-origin", "none") for one in request.headers.get_all("sec-fetch-site")
    )


def _is_own(origin: str, request: Request, ctx: RequestContext, trusted: Collection[str]) -> bool:
    try:
        found = normalised(origin)
    except ValueError:  # "null" of a sandbox
        return False
    if found in trusted:
        return True
    scheme, _, rest = found.partition("://")
    # A page may be https where pingap sees http, behind a proxy that is not in trusted_proxies.
    if scheme == "http" and ctx.scheme(request) == "https":
        return False
    return rest in _own_authorities(request, ctx, scheme)


def _own_authorities(request: Request, ctx: RequestContext, scheme: str) -> set[str]:
    host = ctx.host(request)
    written = request.headers.get("host", "").lower()
    found = {f"{host}:{ctx.port(request) or _PORTS[scheme]}"}
    if written and host == request.host:  # the port that the client used, also behind NAT
        _, _, port = written.removeprefix(host).rpartition(":")
        found.add(f"{host}:{port or _PORTS[scheme]}")
    return found
