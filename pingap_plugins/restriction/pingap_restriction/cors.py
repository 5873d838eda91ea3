"""Lets scripts of other sites read responses: cross-origin resource sharing (Fetch standard)."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from pingap import (
    ContextKey,
    Duration,
    Headers,
    Plugin,
    PluginSettings,
    Regex,
    Request,
    RequestContext,
    Response,
    field,
    hookimpl,
)
from pingap_restriction.origins import Origins

_OURS: Final = (
    b"access-control-allow-origin",
    b"access-control-allow-credentials",
    b"access-control-allow-methods",
    b"access-control-allow-headers",
    b"access-control-allow-private-network",
    b"access-control-expose-headers",
    b"access-control-max-age",
)
"""What only this plugin says: a second ``Access-Control-Allow-Origin`` makes browsers refuse the response."""
_VARY: Final = field("Vary", "Origin")
_ANY_ORIGIN: Final = field("Access-Control-Allow-Origin", "*")
_CREDENTIALS: Final = field("Access-Control-Allow-Credentials", "true")
_PRIVATE_NETWORK: Final = field("Access-Control-Allow-Private-Network", "true")
_NAMES: Final = re.compile(
    r"\*|[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:\s*,\s*[!#$%&'*+\-.^_`|~0-9A-Za-z]+)*"
)
_METHODS: Final = "GET, POST, PUT, PATCH, DELETE, OPTIONS"


def _check_names(text: str) -> str:
    if text and not _NAMES.fullmatch(text):
        raise ValueError(f'found "{text}", expected names that are separated by commas, or "*"')
    return text


Names = Annotated[str, AfterValidator(_check_names)]


class Cors(Plugin):
    """Tells browsers which scripts of other sites may read responses, and answers preflight requests.

    It is no guard: requests of all other clients, and simple requests of other sites, pass.
    """

    category = "cors"
    contract = "1.1"
    answers = "public"
    reads_headers = (
        "origin",
        "access-control-request-method",
        "access-control-request-private-network",
    )
    # Preflight requests carry no credentials (nor certificates), so a plugin that asks for them would refuse them.
    before = (
        "basic_auth",
        "combined_auth",
        "csrf",
        "forward_auth",
        "jwt",
        "key_auth",
        "mtls",
        "oidc",
        "method_restriction",
        "header_restriction",
    )

    class Settings(PluginSettings):
        """Settings of ``cors``."""

        path: Regex | None = None
        """An expression that is found in the paths that the plugin applies to; all paths without it."""
        allow_origin: str | Annotated[tuple[str, ...], Field(strict=False)] = "*"
        """The origins whose scripts may read responses: one, or an array. ``*`` means any, an entry that begins
        with ``~`` is an expression for the whole origin, and ``$http_origin`` returns any origin to its
        sender."""
        allow_methods: Names = _METHODS
        """The methods that they may use, separated by commas."""
        allow_headers: Names = ""
        """The request headers that they may set, besides simple ones."""
        expose_headers: Names = ""
        """The response headers that they may read, besides simple ones."""
        allow_credentials: bool = False
        """Whether they may send cookies and other credentials. It needs a list of origins."""
        allow_private_network: bool = False
        """Whether sites of the internet may use a server in a private network. (A key that pingap does not
        have.)"""
        max_age: Duration = 3600.0
        """How long browsers may remember the response to a preflight request; ``0s``: the default of the
        browser."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.path
        self._credentials = settings.allow_credentials
        self._private_network = settings.allow_private_network
        given = settings.allow_origin
        entries = (given,) if isinstance(given, str) else given
        self._origins = Origins(entries, credentials=self._credentials)
        if self._credentials:
            _require_names(settings)
        self._actual = _fields({"Access-Control-Expose-Headers": settings.expose_headers})
        age = int(settings.max_age)
        self._preflight = _fields(
            {
                "Access-Control-Allow-Methods": settings.allow_methods,
                "Access-Control-Allow-Headers": settings.allow_headers,
                "Access-Control-Max-Age": str(age) if age else "",
            }
        )
        # Of one request: another instance may be in the same location.
        self._applies = ContextKey[bool]("cors applies", True)
        self._is_preflight = ContextKey[bool]("cors preflight", False)

    @hookimpl
    def early_request(self, request: Request, ctx: RequestContext) -> None:
        """Decide whether the plugin applies, before another one rewrites the path."""
        if self._path is not None and self._path.search(request.path) is None:
            ctx[self._applies] = False

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Response | None:
        """Answer a preflight request."""
        if not ctx[self._applies] or not is_preflight(request):
            return None
        ctx[self._is_preflight] = True
        return Response(204)

    @hookimpl
    def response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        """Say who may read the response, whatever the upstream says."""
        if not ctx[self._applies]:
            return
        headers = response.headers
        for key in _OURS:
            headers.discard(key)
        _vary_by_origin(headers)
        origins = request.headers.find_all(b"origin")
        if len(origins) != 1:
            return
        origin = origins[0].decode("latin-1")
        if not self._origins.allow(origin, request, ctx):
            return
        is_any = self._origins.any and not self._credentials
        headers.append(_ANY_ORIGIN if is_any else field("Access-Control-Allow-Origin", origin))
        if self._credentials:
            headers.append(_CREDENTIALS)
        for one in self._preflight if ctx[self._is_preflight] else self._actual:
            headers.append(one)
        if self._private_network and ctx[self._is_preflight] and _asks_private_network(request):
            headers.append(_PRIVATE_NETWORK)


def is_preflight(request: Request) -> bool:
    """Return whether a browser asks before it sends a request of another site."""
    headers = request.headers
    return (
        request.method == "OPTIONS"
        and headers.find(b"origin") is not None
        and headers.find(b"access-control-request-method") is not None
    )


def _asks_private_network(request: Request) -> bool:
    return request.headers.find(b"access-control-request-private-network") == b"true"


def _require_names(settings: Cors.Settings) -> None:
    """Refuse ``*`` in lists of names: with credentials, browsers take it for a name."""
    for key in ("allow_methods", "allow_headers", "expose_headers"):
        if getattr(settings, key) == "*":
            raise ValueError(
                f'with allow_credentials, browsers do not understand {key} = "*": list the names'
            )


def _fields(values: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [field(name, value) for name, value in values.items() if value]


def _vary_by_origin(headers: Headers) -> None:
    """Say that the response depends on ``Origin``, unless that is said already."""
    value = headers.find(b"vary")
    names = [] if value is None else [one.strip(b" \t").lower() for one in value.split(b",")]
    if b"*" not in names and b"origin" not in names:
        headers.append(_VARY)
