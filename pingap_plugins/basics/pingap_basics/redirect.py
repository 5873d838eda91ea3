"""Redirects clients to https, or below a path prefix."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pingap import (
    Headers,
    HTTPError,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    field,
    hookimpl,
)

_PREFIX = re.compile(r'[!"$->@-~]*')
_PORT = re.compile(r":[0-9]+$")
_HTTPS_PORT = 443
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Redirect(Plugin):
    """Redirects requests that did not arrive over https, or whose path does not begin with a prefix.

    Query and host are kept. The port is kept too, unless the scheme changes: no port serves both http and
    https, so it is then ``https_port``.
    """

    category = "redirect"
    predictable = True
    answers = "public"

    class Settings(PluginSettings):
        """Settings of ``redirect``."""

        http_to_https: bool = False
        """Whether HTTP requests are redirected to HTTPS; ``false`` leaves the scheme alone. Behind
        a proxy of ``basic.trusted_proxies``, the scheme, host and port that it forwards are
        used."""
        https_port: Annotated[int, Field(ge=1, le=65535)] = _HTTPS_PORT
        """The port that clients use for HTTPS. (Not a key of pingap 0.13.9.)"""
        prefix: str = ""
        """The prefix that paths must have; it is prepended to those that do not."""
        status: Literal[301, 302, 307, 308] = 307
        """The status code: 307 and 308 keep the method, 301 and 308 are permanent."""

        @field_validator("prefix")
        @classmethod
        def _check_prefix(cls, text: str) -> str:
            if not _PREFIX.fullmatch(text):
                raise ValueError(
                    f'found "{text}", expected a path prefix: no query, and other characters '
                    "than ASCII are percent-encoded"
                )
            return f"/{text.lstrip('/')}" if len(text) > 1 else ""

        @model_validator(mode="after")
        def _does_something(self) -> Redirect.Settings:
            if not self.http_to_https and not self.prefix:
                raise ValueError("redirects nothing: set http_to_https = true, or a prefix")
            return self

    def __init__(self, settings: Settings) -> None:
        self._to_https = settings.http_to_https
        port = settings.https_port
        self._https_port = "" if port == _HTTPS_PORT else f":{port}"
        self._prefix = settings.prefix
        self._status = settings.status

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Response | None:
        """Redirect the request, or let it pass."""
        scheme = ctx.scheme(request)
        below = request.path.startswith(self._prefix)
        upgrade = self._to_https and scheme != "https"
        if (below and not upgrade) or not request.path.startswith("/"):  # OPTIONS * has no path
            return None
        target = request.target if below else self._prefix.rstrip("/") + request.target
        location = self._origin(request, ctx, scheme, upgrade=upgrade) + target
        return Response(self._status, headers=Headers([field("Location", location)]))

    def _origin(self, request: Request, ctx: RequestContext, scheme: str, *, upgrade: bool) -> str:
        """Return scheme, host and port of the target.

        Empty if only the path changes and the client (HTTP/1.0) sent no host.
        """
        host = ctx.host(request)
        if upgrade:
            if not host:
                raise HTTPError(400, "A redirect to https needs a Host header")
            return f"https://{host}{self._https_port}"
        if not host:
            return ""
        told = ctx.told(request)
        if told.port:
            port = "" if told.port == _DEFAULT_PORTS[scheme] else f":{told.port}"
        elif told.host:
            port = ""
        else:
            found = _PORT.search(request.headers.get("host") or "")
            port = found[0] if found else ""
        return f"{scheme}://{host}{port}"
