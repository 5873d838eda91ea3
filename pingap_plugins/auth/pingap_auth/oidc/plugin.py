"""Admit users who have logged in at an OpenID provider."""

from __future__ import annotations

import html
import logging
import string
from collections.abc import Awaitable, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

from pingap import (
    BackgroundTasks,
    ClientTLS,
    ConfigTable,
    ContextKey,
    Cookie,
    Field,
    Request,
    RequestContext,
    Response,
    Worker,
    field,
    hookimpl,
    parse_form,
)
from pingap_auth.guard import Guard
from pingap_auth.identity import fingerprint
from pingap_auth.oidc.login import LOGIN_SECONDS, Login, cookie_suffix
from pingap_auth.oidc.logouts import Logouts
from pingap_auth.oidc.provider import Endpoints, Provider, ProviderAwayError, ProviderError
from pingap_auth.oidc.renewals import Renewals
from pingap_auth.oidc.sealed import SplitCookie
from pingap_auth.oidc.secret_values import watch_secrets
from pingap_auth.oidc.session import Session
from pingap_auth.oidc.settings import OidcSettings
from pingap_auth.origins import is_foreign
from pingap_auth.tokens.claim_headers import ClaimHeaders
from pingap_auth.tokens.sources import without_cookie
from pingap_auth.tokens.verifier import TokenError, claim, fulfil

log = logging.getLogger("pingap")

_LOGIN: Final = "Login required"
_FORBIDDEN: Final = "You may not use this application"
_FAILED: Final = "The login failed; please try again"
_AWAY: Final = "The login is not available at the moment"
_NO_LOGOUT: Final = "Invalid logout token"
_LARGEST_REPORT: Final = 16 * 1024
_NO_STORE: Final = field("Cache-Control", "private, no-store")
_PAGE: Final = (
    '<!doctype html><meta http-equiv="refresh" content="0;url={0}"><a href="{0}">Continue</a>'
)
_RETRY_AFTER: Final = field("Retry-After", "5")


class Oidc(Guard):
    """Admits users who have logged in at an OpenID provider; browsers are sent there."""

    category = "oidc"

    Settings = OidcSettings

    def __init__(self, settings: OidcSettings, table: ConfigTable | None = None) -> None:
        self.set_up(table)
        if "openid" not in settings.scopes:
            raise ValueError('scopes has to contain "openid"')
        reported = settings.backchannel_logout_path
        paths = (settings.callback_path, settings.logout_path, reported)
        if len(set(paths)) < len(paths):
            raise ValueError("callback_path and logout paths are the same")
        if settings.session_ttl < 1:
            raise ValueError("session_ttl must be at least 1s: sessions would end at once")
        self._goodbye = Response.redirect(settings.after_logout, 303)
        self._settings = settings
        tls = ClientTLS(ca=settings.ca) if settings.ca else None
        self._logouts = Logouts(
            f"{settings.issuer} {settings.client_id}",
            settings.session_ttl,
            follows_provider=reported is not None,
        )
        self._secrets = watch_secrets(settings)
        self.watched = (self._secrets,)
        self._provider = Provider(settings.issuer, settings.client_id, self._secrets, tls)
        self._cookies = {secure: self._cookie(secure=secure) for secure in (False, True)}
        self._headers = ClaimHeaders(settings.claim_headers)
        token_header = settings.access_token_header
        self._token_key = field(token_header, "")[0] if token_header else b""
        self.adds_headers = (*self._headers.names, *([token_header] if token_header else []))
        self._needed = sorted(
            {
                settings.user_claim,
                "sub",
                *(["sid"] if reported is not None else []),
                *settings.required_claims,
                *settings.claim_headers.values(),
            }
        )
        self._renewals = Renewals(self._provider, self._secrets, self._needed)
        self._set_cookies: ContextKey[list[Field]] = ContextKey("cookies of a session", [])

    def _cookie(self, *, secure: bool) -> SplitCookie:
        name, always = self._settings.cookie_name, self._settings.secure == "always"
        return SplitCookie(
            Cookie(
                name,
                max_age=self._settings.session_ttl,
                secure=secure or always,
                same_site=self._settings.same_site,
            )
        )

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Follow the files, and look for the provider."""
        await super().startup(tasks, worker)
        self._renewals.start(tasks, worker)
        await self._provider.start(tasks, worker)

    @hookimpl
    def request(
        self, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response | None] | None:
        """Let the request pass, send the user to the provider, or answer for one of our own paths."""
        self._headers.remove(request.headers)
        if self._token_key:
            request.headers.discard(self._token_key)
        if request.path == self._settings.callback_path:
            return self._callback(request, ctx)
        if request.path == self._settings.backchannel_logout_path:
            return self._reported_logout(request, ctx)
        cookie = self._cookies[ctx.scheme(request) == "https"]
        text = cookie.read(request)
        session = self._open(text, ctx)
        if request.path == self._settings.logout_path:
            return self._logout(session, request, ctx)
        for name in cookie.names:
            without_cookie(request, name)
        if session is None or (session.is_due and not session.refresh_token):
            return self._ask(request, ctx)
        if session.is_due:
            return self._renew(text, session, request, ctx)
        return self._pass(session, request, ctx)

    def _open(self, text: str, ctx: RequestContext) -> Session | None:
        if (found := self._secrets.value.sessions.open(text)) is None:
            return None
        session = Session.of(found)
        if session is None or session.has_ended or self._logouts.has_ended(session, ctx.shared):
            return None
        return session

    # Logins.

    def _ask(self, request: Request, ctx: RequestContext) -> Response | Awaitable[Response | None]:
        self.count("no session", ctx)
        if not self._is_navigation(request):
            return _answer(401, _LOGIN)
        if (found := self._provider.endpoints) is not None:
            return self._redirect(found, request, ctx)
        return self._ask_later(request, ctx)

    def _is_navigation(self, request: Request) -> bool:
        """Return whether a browser shows the answer to its user."""
        patterns = self._settings.api_paths
        if patterns is not None and patterns.search(request.path):
            return False
        if request.method != "GET" or request.upgrade or "x-requested-with" in request.headers:
            return False
        if request.headers.get("sec-fetch-mode", "navigate") != "navigate":
            return False
        return "text/html" in request.headers.get("accept", "").lower()

    async def _ask_later(self, request: Request, ctx: RequestContext) -> Response:
        found = await self._provider.wait()
        return _away() if found is None else self._redirect(found, request, ctx)

    def _redirect(self, found: Endpoints, request: Request, ctx: RequestContext) -> Response:
        base = self._base(request, ctx)
        login = Login.begin(ctx.original.target, base + self._settings.callback_path)
        url = login.url(found.authorization, self._settings.client_id, self._settings.scopes)
        response = Response.redirect(url, 302, external=True)
        response.headers.replace(_NO_STORE)
        cookie = self._login_cookie(login.state, ctx.scheme(request) == "https")
        response.headers.append(cookie.set(self._secrets.value.logins.seal(login.as_dict())))
        return response

    def _base(self, request: Request, ctx: RequestContext) -> str:
        """Return scheme and host of the site, as the user sees them."""
        if self._settings.external_url:
            return self._settings.external_url.rstrip("/")
        host = ctx.host(request)
        authority = host if host != request.host else request.headers.get("host", "") or host
        return f"{ctx.scheme(request)}://{authority}"

    def _login_cookie(self, state: str, is_https: bool) -> Cookie:
        return Cookie(
            f"{self._settings.cookie_name.removeprefix('__Host-')}_login_{cookie_suffix(state)}",
            path=self._settings.callback_path,
            max_age=LOGIN_SECONDS,
            secure=is_https or self._settings.secure == "always",
        )

    async def _callback(self, request: Request, ctx: RequestContext) -> Response:
        parameters = request.query_params
        state, code = _only(parameters.get_all("state")), _only(parameters.get_all("code"))
        is_https = ctx.scheme(request) == "https"
        cookie = self._login_cookie(state, is_https)
        login = self._login(request, cookie.name, state)
        is_from_issuer = self._is_from_issuer(parameters.get_all("iss"))
        if request.method != "GET" or login is None or not is_from_issuer:
            return self._login_failed("state", request, ctx)
        if not code:
            log.info("oidc: the provider has refused a login")
            response = self._login_failed("refused", request, ctx)
        else:
            response = await self._finish(login, code, request, ctx)
        if response.status != 503:  # otherwise the user may try again
            response.headers.append(cookie.delete())
        return response

    def _is_from_issuer(self, names: Sequence[str]) -> bool:
        """Return whether a redirect to the callback is from the provider (RFC 9207, section 2.4)."""
        if not names:
            found = self._provider.endpoints
            return found is None or not found.names_itself
        return list(names) == [self._settings.issuer]

    def _login(self, request: Request, name: str, state: str) -> Login | None:
        sent = request.cookies.get_all(name)
        sealer = self._secrets.value.logins
        found = sealer.open(sent[0]) if state and len(sent) == 1 else None
        return Login.of(found, state) if found is not None else None

    async def _finish(
        self, login: Login, code: str, request: Request, ctx: RequestContext
    ) -> Response:
        try:
            tokens = await self._provider.redeem(
                code, login.verifier, login.redirect_uri, login.nonce
            )
        except ProviderAwayError as error:
            log.warning("oidc: a login failed: %s", error)
            return _away()
        except ProviderError as error:
            log.warning("oidc: a login failed: %s", error)
            return self._login_failed("tokens", request, ctx)
        assert tokens.claims is not None
        if not fulfil(tokens.claims, self._settings.required_claims):
            return self._forbidden(request, ctx)
        session = Session.begin(
            tokens,
            self._needed,
            self._settings.session_ttl,
            keep_access=bool(self._token_key),
            keep_id=bool(self._provider.endpoints and self._provider.endpoints.end_session),
        )
        return self._logged_in(login, session, ctx.scheme(request) == "https")

    def _logged_in(self, login: Login, session: Session, is_https: bool) -> Response:
        try:
            text = self._secrets.value.sessions.seal(session.as_dict())
            fields = self._cookies[is_https].set(text)
        except ValueError as error:
            log.warning("oidc: a login failed: %s", error)
            return _away()
        response = _to_page(login.target)
        if self._settings.same_site == "Strict":
            # Browsers would leave the cookie out of a redirect that began at the provider.
            response = Response.html(_PAGE.format(html.escape(response.headers["location"])))
        response.headers.replace(_NO_STORE)
        for one in fields:
            response.headers.append(one)
        return response

    def _login_failed(self, reason: str, request: Request, ctx: RequestContext) -> Response:
        self._clients.record(ctx.client_ip(request))
        self.count(reason, ctx)
        return _answer(400, _FAILED)

    def _forbidden(self, request: Request, ctx: RequestContext) -> Response:
        self._clients.record(ctx.client_ip(request))
        self.count("claims", ctx)
        return _answer(403, _FORBIDDEN)

    # Sessions.

    def _pass(self, session: Session, request: Request, ctx: RequestContext) -> Response | None:
        if not fulfil(session.claims, self._settings.required_claims):
            return self._forbidden(request, ctx)
        user = claim(session.claims, self._settings.user_claim)
        try:
            fields = self._headers.fields(session.claims)
            if session.access_token:
                header = self._settings.access_token_header
                fields.append(field(header, f"Bearer {session.access_token}"))
            if isinstance(user, str):
                ctx.user = user
        except (TokenError, ValueError):  # a control character
            return self._forbidden(request, ctx)
        for one in fields:
            request.headers.append(one)
        if fields:
            ctx.variants["oidc"] = fingerprint(*(line for _, line in fields))
        ctx.state["oidc"] = session.claims
        return None

    async def _renew(
        self, text: str, session: Session, request: Request, ctx: RequestContext
    ) -> Response | None:
        try:
            new_text = await self._renewals.renew(text, session)
        except ProviderAwayError:
            return _away()
        except ProviderError:
            answer = self._ask(request, ctx)
            return answer if isinstance(answer, Response) else await answer
        session_now = self._open(new_text, ctx)
        if session_now is None:  # logged out meanwhile
            return _answer(401, _LOGIN)
        ctx[self._set_cookies] = self._cookies[ctx.scheme(request) == "https"].set(new_text)
        return self._pass(session_now, request, ctx)

    @hookimpl
    def response(self, response: Response, ctx: RequestContext) -> None:
        """Send the cookie of a renewed session."""
        for one in ctx[self._set_cookies]:
            response.headers.append(one)
            response.headers.replace(_NO_STORE)  # a shared cache must not give it to others

    def _logout(self, session: Session | None, request: Request, ctx: RequestContext) -> Response:
        if is_foreign(request, ctx, ()):
            return _answer(403, _FORBIDDEN)
        base, found = self._base(request, ctx), self._provider.endpoints
        if session is not None:
            self._logouts.end(session, ctx.shared)
        response = self._goodbye.copy()
        if session is not None and found is not None and found.end_session:
            parameters: dict[str, Any] = {
                "client_id": self._settings.client_id,
                "post_logout_redirect_uri": base + self._settings.after_logout,
                **({"id_token_hint": session.id_token} if session.id_token else {}),
            }
            mark = "&" if "?" in found.end_session else "?"
            url = f"{found.end_session}{mark}{urlencode(parameters)}"
            response = Response.redirect(url, 303, external=True)
        response.headers.replace(_NO_STORE)
        for one in self._cookies[ctx.scheme(request) == "https"].delete():
            response.headers.append(one)
        return response

    async def _reported_logout(self, request: Request, ctx: RequestContext) -> Response:
        """Answer a report of the provider (OpenID Connect Back-Channel Logout 1.0, 2.8)."""
        body = await ctx.read_body(_LARGEST_REPORT)
        try:
            form = parse_form(body, request.headers.get("content-type"))
            sent = form.get_all("logout_token") if request.method == "POST" else []
            claims = await self._provider.logout_claims(_only(sent, _LARGEST_REPORT))
            self._logouts.end_by_token(claims, ctx.shared)
        except ProviderAwayError:
            return _away()
        except (ProviderError, ValueError) as error:
            log.warning("oidc: a logout that was reported is not valid: %s", error)
            self._clients.record(ctx.client_ip(request))
            self.count("logout", ctx)
            return _answer(400, _NO_LOGOUT)
        return _answer(200, "")


def _to_page(target: str) -> Response:
    try:
        return Response.redirect(
            quote(target.encode("latin-1", "replace"), safe=string.punctuation), 303
        )
    except ValueError:  # not a path after all
        return Response.redirect("/", 303)


def _only(values: list[str], longest: int = 4096) -> str:
    return values[0] if len(values) == 1 and len(values[0]) <= longest else ""


def _answer(status: int, text: str) -> Response:
    response = Response(status, text)
    response.headers.replace(_NO_STORE)
    return response


def _away() -> Response:
    response = _answer(503, _AWAY)
    response.headers.append(_RETRY_AFTER)
    return response
