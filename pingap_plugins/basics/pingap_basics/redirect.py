"""Redirects clients to https, below a path prefix, or to another URL."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pingap import (
    Headers,
    HTTPError,
    Plugin,
    PluginSettings,
    Regex,
    Request,
    RequestContext,
    Response,
    field,
    hookimpl,
)
from pingap_basics.redirect_target import Target, with_query

_PREFIX = re.compile(r'[!"$->@-~]*')
_PORT = re.compile(r":[0-9]+$")
_HTTPS_PORT = 443
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Redirect(Plugin):
    """Redirects requests to https, below a path prefix, or to another URL.

    With ``to``, every request whose path matches ``from`` is redirected, unless it is at the target already.
    Otherwise query and host are kept. The port is kept too, unless the scheme changes: no port serves both
    http and https, so it is then ``https_port``.
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
        from_: Regex | None = Field(default=None, alias="from")
        """A regular expression: only requests whose path matches are redirected to `to`. (Not a key of pingap 0.13.9.)"""
        to: str = ""
        """The target: a URL such as `https://www.example.com$request_uri`, or a path. `$1` and `$name` are groups of
        `from`, other names variables; `${1}` and `${name}` separate them from text after them. (Not a key of pingap
        0.13.9.)"""
        query: Literal["keep", "drop"] = "keep"
        """Whether the query of the request is added to `to`; one in a variable, such as `$request_uri`, is not added
        again. (Not a key of pingap 0.13.9.)"""
        status: Literal[301, 302, 303, 307, 308] = 307
        """The status code: 307 and 308 keep the method, 303 changes it to GET, 301 and 308 are permanent."""

        @field_validator("prefix")
        @classmethod
        def _check_prefix(cls, text: str) -> str:
            if not _PREFIX.fullmatch(text):
                raise ValueError(
                    f'found "{text}", expected a path prefix: no query, and other characters '
                    "than ASCII are percent-encoded"
                )
            return f"/{text.lstrip('/')}" if len(text) > 1 else ""

        @field_validator("to")
        @classmethod
        def _check_to(cls, text: str, info: ValidationInfo) -> str:
            if text and "from_" in info.data:  # otherwise it is invalid
                Target(text, info.data["from_"])
            return text

        @model_validator(mode="after")
        def _does_something(self) -> Redirect.Settings:
            if self.to:
                self._check_target()
            elif self.from_ is not None or "query" in self.model_fields_set:
                raise ValueError("from and query need to, the target")
            elif not self.http_to_https and not self.prefix:
                raise ValueError("redirects nothing: set http_to_https = true, a prefix, or to")
            return self

        def _check_target(self) -> None:
            if self.http_to_https or self.prefix or "https_port" in self.model_fields_set:
                raise ValueError(
                    "to takes the place of http_to_https, https_port and prefix: remove these"
                )
            target = Target(self.to, self.from_)
            if target.with_query and self.query == "drop":
                raise ValueError(
                    f'${target.with_query[0]} contains the query, which query = "drop" drops: write'
                    " $path, or remove query"
                )

    def __init__(self, settings: Settings) -> None:
        self._to_https = settings.http_to_https
        port = settings.https_port
        self._https_port = "" if port == _HTTPS_PORT else f":{port}"
        self._prefix = settings.prefix
        self._status = settings.status
        self._from = settings.from_
        self._target = Target(settings.to, settings.from_) if settings.to else None
        self._adds_query = settings.query == "keep" and not (
            self._target is not None and self._target.with_query
        )

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Response | None:
        """Redirect the request, or let it pass."""
        if self._target is not None:
            return self._to_target(self._target, request, ctx)
        scheme = ctx.scheme(request)
        below = request.path.startswith(self._prefix)
        upgrade = self._to_https and scheme != "https"
        if (below and not upgrade) or not request.path.startswith("/"):  # OPTIONS * has no path
            return None
        target = request.target if below else self._prefix.rstrip("/") + request.target
        location = self._origin(request, ctx, scheme, upgrade=upgrade) + target
        return Response(self._status, headers=Headers([field("Location", location)]))

    def _to_target(self, target: Target, request: Request, ctx: RequestContext) -> Response | None:
        match = None
        if not request.path.startswith("/"):  # OPTIONS * has no path
            return None
        if self._from is not None and (match := self._from.search(request.path)) is None:
            return None
        location = target.expand(match, request, ctx)
        if self._is_at(location.partition("#")[0], request, ctx):
            return None  # it would be redirected again and again
        if self._adds_query:
            location = with_query(location, request.query)
        return Response.redirect(location, self._status, external=True)

    def _is_at(self, location: str, request: Request, ctx: RequestContext) -> bool:
        """Return whether a request is at a target already, perhaps with a query that was added to it.

        :param location: without fragment, which clients do not send.
        """
        origin = self._origin(request, ctx, ctx.scheme(request), upgrade=False)
        begin = location + ("&" if "?" in location else "?")
        for sent in (ctx.original.target, origin + ctx.original.target):
            if sent == location or (self._adds_query and sent.startswith(begin)):
                return True
        return False

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
            port = found[0] if found and found[0] != f":{_DEFAULT_PORTS[scheme]}" else ""
        return f"{scheme}://{host}{port}"
