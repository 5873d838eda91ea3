"""Protect forms and scripts of a site against requests that other sites cause (CSRF)."""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable
from typing import Annotated, Final, Literal

from pydantic import AfterValidator
from pydantic import Field as SettingsField

from pingap import (
    ConfigTable,
    Cookie,
    Duration,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    Secret,
    WatchedFiles,
    field,
    hookimpl,
)
from pingap_auth.csrf_tokens import CsrfTokens
from pingap_auth.guard import Guard
from pingap_auth.origins import is_foreign, normalised

_REFUSED: Final = "Csrf token is empty or invalid"
_NO_STORE: Final = field("Cache-Control", "private, no-store")
_SAFE: Final = ("GET", "HEAD", "OPTIONS")


class Csrf(Guard):
    """Admits changing requests only with a token that the site's own pages have."""

    category = "csrf"

    class Settings(PluginSettings):
        """Settings of ``csrf``."""

        token_path: Annotated[str, SettingsField(pattern="^/")]
        """The path that sets a token as a cookie."""
        key: Secret
        """Signs tokens. With ``file:PATH``, the file is read again when it changes."""
        name: str = "x-csrf-token"
        """The name of the cookie, and of the header in which scripts repeat it."""
        ttl: Duration = 0.0
        """How long a token is valid; 0: as long as the browser is open."""
        session_cookie: str = ""
        """A cookie to which tokens are bound: one session cannot use a token of another one."""
        check_origin: bool = True
        """Whether ``Origin`` and ``Sec-Fetch-Site`` must not name another site."""
        trusted_origins: list[Annotated[str, AfterValidator(normalised)]] = SettingsField(
            default=[]
        )
        """Origins of other sites that may send requests."""
        same_site: Literal["Strict", "Lax", "None"] = "Lax"
        """``SameSite`` of the cookie."""
        secure: Literal["auto", "always", "never"] = "auto"
        """``Secure`` of the cookie: ``auto`` sets it for https."""

    def __init__(self, settings: Settings, table: ConfigTable | None = None) -> None:
        self.set_up(table)
        if not settings.key.get_secret_value():
            raise ValueError("key is empty")
        key, ttl = settings.key, settings.ttl
        self._tokens = WatchedFiles(lambda: CsrfTokens(key.read_again().encode(), ttl), [key.path])
        self.watched = (self._tokens,)
        self._path, self._name = settings.token_path, settings.name
        self._session = settings.session_cookie
        self._header = field(settings.name, "")[0]
        self._check_origin, self._trusted = settings.check_origin, set(settings.trusted_origins)
        # Browsers take SameSite=None only together with Secure.
        needs_secure = settings.same_site == "None" and settings.secure == "auto"
        secure = "always" if needs_secure else settings.secure
        self._cookie_of_https = _cookie(settings, secure=secure != "never")
        self._cookie_of_http = _cookie(settings, secure=secure == "always")

    @hookimpl
    def request(
        self, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response] | None:
        """Issue a token, let the request pass, or refuse it."""
        if request.path == self._path:
            return self._issue(request, ctx)
        is_safe = request.method in _SAFE
        if is_safe and not request.upgrade:
            return None
        # A WebSocket is opened by GET, without any header that a script could add.
        if self._check_origin and is_foreign(request, ctx, self._trusted):
            return self._refuse("origin", request, ctx)
        if is_safe or self._has_token(request):
            return None
        return self._refuse("token", request, ctx)

    def _issue(self, request: Request, ctx: RequestContext) -> Response:
        response = Response(204)
        response.headers.replace(_NO_STORE)
        token = self._tokens.value.issue(self._session_of(request), time.time())
        is_https = ctx.scheme(request) == "https"
        cookie = self._cookie_of_https if is_https else self._cookie_of_http
        response.headers.append(cookie.set(token))
        return response

    def _has_token(self, request: Request) -> bool:
        sent = request.headers.find_all(self._header)
        kept = request.cookies.get_all(self._name)
        if len(sent) != 1 or len(kept) != 1:  # of several cookies, another site may have set one
            return False
        token = sent[0].decode("latin-1")
        if not hmac.compare_digest(sent[0], kept[0].encode("latin-1")):
            return False
        return self._tokens.value.is_valid(token, self._session_of(request), time.time())

    def _session_of(self, request: Request) -> bytes:
        if not self._session:
            return b""
        return "\0".join(request.cookies.get_all(self._session)).encode("latin-1")

    def _refuse(
        self, reason: str, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response]:
        return self.refuse(Response(401, _REFUSED), reason, request, ctx)


def _cookie(settings: Csrf.Settings, *, secure: bool) -> Cookie:
    return Cookie(
        settings.name,
        max_age=max(1.0, settings.ttl) if settings.ttl else None,
        secure=secure,
        http_only=False,  # scripts read it, to repeat it in the header
        same_site=settings.same_site,
    )
