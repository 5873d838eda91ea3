"""Let another service decide who may pass."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable
from typing import Annotated, Final

from pydantic import AfterValidator
from pydantic import Field as SettingsField

from pingap import (
    ClientTLS,
    ConfigTable,
    ContextKey,
    Duration,
    Field,
    FilePath,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    SideCallError,
    SideCallResponse,
    field,
    hookimpl,
    http_client,
)
from pingap_auth.guard import Guard
from pingap_auth.identity import fingerprint
from pingap_auth.remembered import KeyedHash, Remembered
from pingap_auth.urls import Url

log = logging.getLogger("pingap")

_HOOK_TIMEOUT: Final = 30
"""Seconds after which pingap itself ends an async phase, with 500."""
LONGEST_ANSWER: Final = 1024 * 1024
"""Bytes of an answer of the service that is relayed."""
_PRIVATE: Final = field("Cache-Control", "private, no-cache")
_FAILED: Final = "Forward auth request failed"
_OF_CONNECTION: Final = frozenset(
    (
        b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding",
        b"upgrade", b"http2-settings", b"content-length", b"expect", b"host", b"range",
        b"if-range", b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since",
    )
)  # fmt: skip
"""Fields that describe a connection or a body, or ask for a part of the page, or whether it has changed: the call
is another request."""
_OURS: Final = (
    "X-Forwarded-Method", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri",
    "X-Forwarded-For",
)  # fmt: skip
_SPOOFABLE: Final = frozenset(
    (
        *(name.lower().encode() for name in _OURS), b"forwarded", b"x-real-ip", b"x-forwarded-port",
        b"x-forwarded-prefix", b"x-forwarded-server", b"x-original-url", b"x-original-uri",
        b"x-original-method", b"x-rewrite-url",
    )
)  # fmt: skip
"""Fields of clients that a service could take for those of pingap."""
_CLAIMED: Final = frozenset(
    (b"true-client-ip", b"x-client-ip", b"x-cluster-client-ip", b"cf-connecting-ip")
)
_CLAIMED_PREFIXES: Final = (b"x-forwarded-", b"x-original-")
"""More of them, which are copied only if ``request_headers`` says so: another proxy may have set them."""


def _checked_name(name: str) -> str:
    field(name, "")
    return name


Name = Annotated[str, AfterValidator(_checked_name)]


class ForwardAuth(Guard):
    """Asks another service about each request."""

    category = "forward_auth"

    class Settings(PluginSettings):
        """Settings of ``forward_auth``."""

        auth_url: Url
        """The URL that is requested with GET."""
        request_headers: list[Name] = SettingsField(default=[])
        """Headers of the request that the service gets; empty: all."""
        add_headers: list[Name] = SettingsField(default=[])
        """Headers of its answer that the upstream gets. The same headers from clients are removed; the service
        gets them if they are in ``request_headers``, or ``Authorization`` or ``Cookie``."""
        timeout: Duration = 10.0
        """How long a call may take."""
        cache: Duration = 0.0
        """How long a permission counts for requests that look the same to the service; needs
        ``request_headers``."""
        ca: FilePath | None = None
        """The certificate of the authority that has signed the certificate of the service."""

    def __init__(self, settings: Settings, table: ConfigTable | None = None) -> None:
        self.set_up(None)
        if settings.cache and not settings.request_headers:
            raise ValueError("cache needs request_headers: no two requests have all headers alike")
        if not 0 < settings.timeout < _HOOK_TIMEOUT:
            raise ValueError(f"timeout must be greater than 0 and less than {_HOOK_TIMEOUT}s")
        self._url, self._timeout = settings.auth_url, settings.timeout
        self._tls = ClientTLS(ca=settings.ca) if settings.ca else None
        self._only = frozenset(name.lower().encode() for name in settings.request_headers)
        self._added = settings.add_headers
        self._added_keys = [name.lower().encode() for name in settings.add_headers]
        self.adds_headers = tuple(settings.add_headers)
        # Others of these headers would tell the service, too, who the client claims to be.
        self.reads_headers = ("Authorization", "Cookie", *settings.request_headers)
        self._hash = KeyedHash()
        self._permitted: Remembered[list[Field]] = Remembered(settings.cache)
        self._cookies: ContextKey[list[Field]] = ContextKey("cookies of the service", [])

    @hookimpl
    def request(
        self, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response | None] | None:
        """Ask the service, unless it has permitted the same a moment ago."""
        sent = self._headers(request, ctx)
        for key in self._added_keys:
            request.headers.discard(key)
        digest = self._hash.of("\n".join(f"{one}: {sent[one]}" for one in sorted(sent)).encode())
        if (permitted := self._permitted.get(digest)) is not None:
            self._pass(permitted, [], request, ctx)
            return None
        return self._ask(sent, digest, request, ctx)

    def _headers(self, request: Request, ctx: RequestContext) -> dict[str, str]:
        """Return the headers of the call: those of the request, and what is known of it."""
        headers: dict[str, str] = {}
        left_out = _OF_CONNECTION | _SPOOFABLE | _listed(request.headers.get_all("connection"))
        for name, value in request.headers.items():
            key = name.lower().encode("latin-1")
            if key in left_out or not self._is_for_service(key):
                continue
            if (already := headers.get(name.lower())) is not None:
                value = f"{already}{'; ' if key == b'cookie' else ', '}{value}"
            headers[name.lower()] = value
        values = (
            request.method,
            ctx.scheme(request),
            _authority(request, ctx),
            ctx.original.target,
            ctx.client_ip(request),
        )
        headers.update(zip((name.lower() for name in _OURS), values, strict=True))
        return headers

    def _is_for_service(self, key: bytes) -> bool:
        if self._only:
            return key in self._only
        return key not in _CLAIMED and not key.startswith(_CLAIMED_PREFIXES)

    async def _ask(
        self, sent: dict[str, str], digest: bytes, request: Request, ctx: RequestContext
    ) -> Response | None:
        try:
            answer = await http_client.request(
                "GET",
                self._url,
                headers=sent,
                timeout=self._timeout,
                max_body=LONGEST_ANSWER,
                tls=self._tls,
            )
        except SideCallError as error:
            log.warning("location %s: forward_auth: %s", ctx.location, error)
            return self._failed(ctx)
        if not 200 <= answer.status < 300:
            return self._relayed(answer, request, ctx)
        try:
            added = self._added_by(answer)
        except ValueError as error:  # a control character
            log.warning("location %s: forward_auth: %s", ctx.location, error)
            return self._failed(ctx)
        cookies = [one for one in answer.headers.fields if one[0] == b"set-cookie"]
        if "no-store" not in answer.headers.get("cache-control", "").lower() and not cookies:
            self._permitted.put(digest, added)
        self._pass(added, cookies, request, ctx)
        return None

    def _added_by(self, answer: SideCallResponse) -> list[Field]:
        found = [(name, answer.headers.get_all(name)) for name in self._added]
        return [field(name, values[0]) for name, values in found if values]

    def _failed(self, ctx: RequestContext) -> Response:
        self.count("no answer", ctx)
        return Response(502, _FAILED)

    def _relayed(
        self, answer: SideCallResponse, request: Request, ctx: RequestContext
    ) -> Response | None:
        if not 300 <= answer.status <= 599:
            return self._failed(ctx)
        self.count("refused", ctx)
        self._clients.record(ctx.client_ip(request))
        left_out = _OF_CONNECTION | _listed(answer.headers.get_all("connection"))
        response = Response(answer.status, answer.body)
        kept = [one for one in answer.headers.fields if one[0] not in left_out]
        if any(key == b"cache-control" for key, _ in kept):
            response.headers.discard(b"cache-control")
        for one in kept:
            response.headers.append(one)
        return response

    def _pass(
        self, added: list[Field], cookies: list[Field], request: Request, ctx: RequestContext
    ) -> None:
        for one in added:
            request.headers.append(one)
        if self._added:
            ctx.variants["forward_auth"] = fingerprint(*(line for _, line in added))
        if cookies:
            ctx[self._cookies] = cookies

    @hookimpl
    def response(self, response: Response, ctx: RequestContext) -> None:
        """Pass cookies of the service on, such as a prolonged session."""
        for one in ctx[self._cookies]:
            response.headers.append(one)
            response.headers.replace(_PRIVATE)  # a shared cache must not give them to others


def _listed(values: Iterable[str]) -> frozenset[bytes]:
    """Return the fields that ``Connection`` lists: they are for this hop only (RFC 9110, 7.6.1)."""
    return frozenset(
        name.strip().lower().encode("latin-1") for value in values for name in value.split(",")
    )


def _authority(request: Request, ctx: RequestContext) -> str:
    host = ctx.host(request)
    if host != request.host:  # a trusted proxy says so
        return host
    return request.headers.get("host", "") or host
