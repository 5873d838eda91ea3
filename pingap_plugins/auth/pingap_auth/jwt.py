"""Admit clients with a JSON Web Token, and sign the tokens of a login."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal
from urllib.parse import unquote

from pydantic import Field as SettingsField

from pingap import (
    BackgroundTasks,
    BodyFilter,
    ClientTLS,
    ConfigTable,
    ContextKey,
    Duration,
    FilePath,
    HTTPError,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    Secret,
    WatchedFiles,
    Worker,
    field,
    hookimpl,
)
from pingap_auth.guard import Guard
from pingap_auth.identity import fingerprint
from pingap_auth.remembered import KeyedHash, Remembered
from pingap_auth.tokens.claim_headers import ClaimHeaders
from pingap_auth.tokens.issuer import Issuer
from pingap_auth.tokens.keys import (
    ASYMMETRIC,
    HMAC,
    Key,
    OneKey,
    VerifyingKeys,
    public_key,
    secret_key,
)
from pingap_auth.tokens.signing import Signing
from pingap_auth.tokens.sources import TokenSources
from pingap_auth.tokens.verifier import (
    ExpiredTokenError,
    MalformedTokenError,
    Rules,
    TokenError,
    UnknownKeyError,
    check_times,
    claim,
    verify,
)

log = logging.getLogger("pingap")

_MISSING: Final = "Jwt authorization is missing"
_FORMAT: Final = "Jwt authorization format is invalid"
_INVALID: Final = "Jwt authorization is invalid"
_EXPIRED: Final = "Jwt authorization is expired"
_NO_KEYS: Final = "The keys of the issuer are not available"
_CHALLENGE: Final = field("WWW-Authenticate", "Bearer")
_CHALLENGE_INVALID: Final = field("WWW-Authenticate", 'Bearer error="invalid_token"')
_JSON: Final = field("Content-Type", "application/json; charset=utf-8")
_IDENTITY: Final = field("Accept-Encoding", "identity")
_RETRY_AFTER: Final = field("Retry-After", "5")
_EMPTY: Final = (204, 205)
_GOOD_SECRET: Final = 32
_REMEMBER_SECONDS: Final = 60.0
_MOST_REMEMBERED: Final = 2000
_LONGEST_REMEMBERED: Final = 4096

Algorithm = Literal[
    "", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384", "ES512", "EdDSA",
]  # fmt: skip


class Jwt(Guard):
    """Admits clients with a valid JSON Web Token (RFC 7519)."""

    category = "jwt"
    body = "rewrites"

    class Settings(PluginSettings):
        """Settings of ``jwt``."""

        header: str = ""
        """The header that contains the token, with or without ``Bearer``."""
        cookie: str = ""
        """The cookie that contains the token, if the header has none."""
        query: str = ""
        """The parameter of the query that contains the token, if header and cookie have none."""
        secret: Secret = Secret("")
        """The secret with which tokens are signed (HMAC)."""
        algorithm: Algorithm = ""
        """The only algorithm that is accepted. Empty: ``HS256`` and ``HS512`` with a secret, all with public
        keys for ``jwks_url``."""
        public_key: Secret = Secret("")
        """The PEM of a public key, or ``file:PATH``; needs ``algorithm``."""
        jwks_url: str = ""
        """Where the issuer publishes its keys (JWKS)."""
        jwks_ttl: Duration = 3600.0
        """How old these keys may become; newer ones are fetched before."""
        jwks_ca: FilePath | None = None
        """The certificate of the authority that has signed the issuer's certificate."""
        audience: list[str] = SettingsField(default=[])
        """``aud`` has to contain one of these; empty: not checked."""
        issuer: list[str] = SettingsField(default=[])
        """``iss`` has to be one of these; empty: not checked."""
        required_claims: dict[str, list[str | int | bool]] = SettingsField(default={})
        """Claims that a token has to have, each with the allowed values; without values, any will do."""
        require_exp: bool = True
        """Whether a token that never expires is refused."""
        leeway: Duration | None = None
        """By how much the clock of the issuer may differ. Default: 60s, with a secret 0s."""
        claim_headers: dict[str, str] = SettingsField(default={})
        """Headers for the upstream, each with the claim that it contains. The same headers from clients are
        removed."""
        user_claim: str = "sub"
        """The claim that is the user in the access log."""
        auth_path: str = ""
        """The path of a login: not checked, and its 2xx response becomes the content of a token."""
        token_ttl: Duration = 3600.0
        """How long such a token is valid, unless the response contains ``exp``."""
        delay: Duration = 0.0
        """How long an invalid token is not answered."""
        hide_credentials: bool = False
        """Whether the token is removed before the request is forwarded."""

    def __init__(self, settings: Settings, table: ConfigTable | None = None) -> None:
        if not (settings.header or settings.cookie or settings.query):
            raise ValueError("no place for the token: set header, cookie or query")
        self.set_up(table, settings.delay)
        self._sources = TokenSources(settings.header, settings.cookie, settings.query)
        self._headers = ClaimHeaders(settings.claim_headers)
        self.adds_headers = self._headers.names
        self.reads_headers = (settings.header,) if settings.header else ()
        if settings.header.lower() in (name.lower() for name in settings.claim_headers):
            raise ValueError("claim_headers contains the header of the token")
        self._user_claim = settings.user_claim
        self._hide = settings.hide_credentials
        self._has_secret = False
        self._issuer: Issuer | None = None
        self._keys: WatchedFiles[OneKey] | None = None
        self._choose_keys(settings)
        self.watched = (self._keys,) if self._keys is not None else ()
        self._rules = self._make_rules(settings)
        # Only for the same keys: a signature is worth nothing once its key is gone.
        self._hash = KeyedHash()
        self._verified: Remembered[tuple[VerifyingKeys, dict[str, Any]]] = Remembered(
            _REMEMBER_SECONDS, _MOST_REMEMBERED
        )
        self._auth_path, self._lifetime = settings.auth_path, settings.token_ttl
        self._signs = settings.algorithm or "HS256"
        self._check_signing(settings)
        self._is_login = ContextKey[bool]("request of a login", False)

    def _choose_keys(self, settings: Settings) -> None:
        """Choose as pingap does: the public key, or else the issuer, or else the secret."""
        secret, pem, algorithm = settings.secret, settings.public_key, settings.algorithm
        if pem.get_secret_value() and algorithm not in ASYMMETRIC:
            raise ValueError('public_key needs an algorithm such as "RS256"')
        if pem.get_secret_value():
            self._keys = WatchedFiles(
                lambda: OneKey(public_key(pem.read_again(), algorithm)), [pem.path]
            )
        elif settings.jwks_url:
            if algorithm in HMAC:
                raise ValueError(f"{algorithm} needs a secret, and jwks_url has public keys")
            tls = ClientTLS(ca=settings.jwks_ca) if settings.jwks_ca else None
            self._issuer = Issuer(settings.jwks_url, settings.jwks_ttl, tls)
        elif algorithm in ASYMMETRIC:
            raise ValueError(f"{algorithm} needs public_key or jwks_url")
        elif secret.get_secret_value():
            self._has_secret = True
            self._keys = WatchedFiles(
                lambda: OneKey(secret_key(secret.read_again())), [secret.path]
            )
            if len(secret.get_secret_value()) < _GOOD_SECRET:
                log.warning(
                    "jwt: the secret has fewer than %d characters, so everyone with a token can guess it",
                    _GOOD_SECRET,
                )
        else:
            raise ValueError("no key: set secret, public_key or jwks_url")

    def _make_rules(self, settings: Settings) -> Rules:
        algorithms = ("HS256", "HS512") if self._has_secret else ASYMMETRIC
        leeway = settings.leeway
        return Rules(
            algorithms=(settings.algorithm,) if settings.algorithm else algorithms,
            leeway=(0.0 if self._has_secret else 60.0) if leeway is None else leeway,
            require_exp=settings.require_exp,
            audiences=settings.audience,
            issuers=settings.issuer,
            claims=settings.required_claims,
        )

    def _check_signing(self, settings: Settings) -> None:
        if not settings.auth_path:
            return
        if not settings.auth_path.startswith("/"):
            raise ValueError("auth_path is a path, so it begins with /")
        if not self._has_secret:
            raise ValueError(
                "auth_path signs tokens with secret, but tokens are verified with public keys"
            )
        if settings.require_exp and not settings.token_ttl:
            raise ValueError(
                "tokens without exp would be refused: set token_ttl or require_exp = false"
            )

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Follow the file of the key, or the keys of the issuer."""
        await super().startup(tasks, worker)
        if self._issuer is not None:
            await self._issuer.start(tasks, worker)

    @hookimpl
    def request(
        self, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response | None] | None:
        """Let the request pass, or refuse it."""
        self._headers.remove(request.headers)
        if self._auth_path and self._is_login_path(request):
            ctx[self._is_login] = True
            request.headers.replace(_IDENTITY)  # neither compressed nor a part: it is signed
            request.headers.discard(b"range")
            return None
        token = self._sources.read(request)
        if token == b"":
            self.count("missing", ctx)
            return _answer(_MISSING, _CHALLENGE)
        if token is None:
            return self._refused(TokenError("several"), request, ctx)
        try:
            claims = self._verify(token)
        except UnknownKeyError as error:
            if self._issuer is None:
                return self._refused(error, request, ctx)
            return self._verify_again(token, request, ctx)
        except TokenError as error:
            return self._refused(error, request, ctx)
        return self._pass(token, claims, request, ctx)

    def _is_login_path(self, request: Request) -> bool:
        # As sent, too: an upstream that does not resolve ".." would answer for another path.
        return request.path == self._auth_path == unquote(request.raw_path)

    def _verify(self, token: bytes) -> dict[str, Any]:
        keys: VerifyingKeys | None = None
        if self._keys is not None:
            keys = self._keys.value
        elif self._issuer is not None:
            keys = self._issuer.keys
        if keys is None:
            raise UnknownKeyError("no keys")
        now, digest = time.time(), self._hash.of(token)
        remembered = self._verified.get(digest)
        if remembered is not None and remembered[0] is keys:
            check_times(remembered[1], self._rules, now)
            return remembered[1]
        claims = verify(token, keys, self._rules, now)
        if len(token) <= _LONGEST_REMEMBERED:
            self._verified.put(digest, (keys, claims))
        return claims

    async def _verify_again(
        self, token: bytes, request: Request, ctx: RequestContext
    ) -> Response | None:
        assert self._issuer is not None
        has_waited = await self._issuer.refresh()
        if self._issuer.keys is None or not has_waited:
            self.count("no keys", ctx)
            response = Response(503, _NO_KEYS)
            response.headers.append(_RETRY_AFTER)
            return response
        try:
            claims = self._verify(token)
        except TokenError as again:
            refused = self._refused(again, request, ctx)
            return refused if isinstance(refused, Response) else await refused
        refused_by_claims = self._pass(token, claims, request, ctx)
        if refused_by_claims is None or isinstance(refused_by_claims, Response):
            return refused_by_claims
        return await refused_by_claims

    def _refused(
        self, error: TokenError, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response]:
        if self._has_secret and isinstance(error, MalformedTokenError | ExpiredTokenError):
            self._clients.record(ctx.client_ip(request))
            self.count(error.reason, ctx)
            text = _EXPIRED if isinstance(error, ExpiredTokenError) else _FORMAT
            return _answer(text, _CHALLENGE_INVALID)
        return self.refuse(_answer(_INVALID, _CHALLENGE_INVALID), error.reason, request, ctx)

    def _pass(
        self, token: bytes, claims: Mapping[str, Any], request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response] | None:
        user = claim(claims, self._user_claim)
        try:
            fields = self._headers.fields(claims)
            if isinstance(user, str):
                ctx.user = user
        except (TokenError, ValueError):  # a control character
            return self._refused(TokenError("claims"), request, ctx)
        for one in fields:
            request.headers.append(one)
        ctx.state["jwt"] = MappingProxyType(claims)
        if self._hide:
            self._sources.hide(request)
        else:
            self._sources.drop_others(request, token)
        if not self._hide and not self._sources.is_authorization:
            ctx.variants["jwt"] = fingerprint(token)
        elif fields:
            ctx.variants["jwt"] = fingerprint(*(line for _, line in fields))
        return None

    @hookimpl
    def response(self, response: Response, ctx: RequestContext) -> None:
        """Prepare the head of a login's response."""
        if self._is_to_sign(response, ctx):
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                log.warning("the response of auth_path is compressed, so it cannot become a token")
                raise HTTPError(502, "The upstream server could not answer")
            response.headers.replace(_JSON)
            for key in (b"etag", b"last-modified", b"content-range", b"accept-ranges"):
                response.headers.discard(key)
            response.headers.set("Cache-Control", "private, no-store")

    @hookimpl
    def response_body(self, response: Response, ctx: RequestContext) -> BodyFilter | None:
        """Replace its body by a token."""
        if not self._is_to_sign(response, ctx):
            return None
        assert self._keys is not None
        key: Key = self._keys.value.key
        return Signing(key, self._signs, self._lifetime)  # type: ignore[arg-type]  # a secret: see _check_signing

    def _is_to_sign(self, response: Response, ctx: RequestContext) -> bool:
        # Also what a cache answers: claims without a signature must never leave.
        return (
            ctx[self._is_login] and 200 <= response.status < 300 and response.status not in _EMPTY
        )


def _answer(text: str, challenge: tuple[bytes, bytes]) -> Response:
    response = Response(401, text)
    response.headers.append(challenge)
    return response
