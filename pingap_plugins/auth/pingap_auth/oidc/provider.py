"""The OpenID provider: its description, its keys, and its tokens (OpenID Connect Core and Discovery 1.0)."""

from __future__ import annotations

import base64
import hmac
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

import anyio

from pingap import (
    BackgroundTasks,
    ClientTLS,
    SideCallError,
    WatchedFiles,
    Worker,
    http_client,
)
from pingap_auth.oidc.secret_values import SecretValues
from pingap_auth.tokens.issuer import Issuer
from pingap_auth.tokens.keys import ASYMMETRIC
from pingap_auth.tokens.verifier import Rules, TokenError, UnknownKeyError, verify

log = logging.getLogger("pingap")

CALL_SECONDS: Final = 10.0
LARGEST_ANSWER: Final = 256 * 1024
DISCOVERY_SECONDS: Final = 3600.0
LONGEST_PAUSE: Final = 60.0
LEEWAY: Final = 60.0
_WAIT_SECONDS: Final = 5.0
"""For a provider whose description is not there yet; with a call and new keys, less than a phase may take."""


class ProviderError(Exception):
    """The provider refused, or did not answer as it should. The text is for the log."""


class ProviderAwayError(ProviderError):
    """The provider could not be reached."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What the discovery document says.

    :param posts_secret: the provider takes the secret only in the body of a request.
    :param names_itself: each of its redirects to the callback has ``iss`` (RFC 9207).
    """

    authorization: str
    token: str
    jwks: str
    end_session: str
    posts_secret: bool
    names_itself: bool


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the provider has given for a code or a refresh token.

    :param claims: of the ID token; None if there was none.
    :param lifetime: seconds of the access token; None if unknown.
    """

    claims: dict[str, Any] | None
    id_token: str
    access_token: str
    refresh_token: str
    lifetime: float | None


def endpoints(document: bytes, issuer: str) -> Endpoints:
    """Read a discovery document.

    :raises ValueError: it is not that of the issuer, or lacks something.
    """
    try:
        found = json.loads(document)
    except (ValueError, RecursionError):
        raise ValueError("its description is not JSON") from None
    if not isinstance(found, dict) or found.get("issuer") != issuer:
        raise ValueError("its description names another issuer")  # OpenID Connect Discovery, 4.3

    def url(name: str, needed: bool = True) -> str:
        text = found.get(name) or ""
        if not isinstance(text, str) or ((text or needed) and not _is_safe(text, issuer)):
            raise ValueError(f"its description has no usable {name}")
        return text

    methods = found.get("token_endpoint_auth_methods_supported")
    if not isinstance(methods, list):
        methods = ["client_secret_basic"]
    return Endpoints(
        url("authorization_endpoint"),
        url("token_endpoint"),
        url("jwks_uri"),
        url("end_session_endpoint", needed=False),
        "client_secret_basic" not in methods and "client_secret_post" in methods,
        found.get("authorization_response_iss_parameter_supported") is True,
    )


def _is_safe(url: str, issuer: str) -> bool:
    return url.startswith("https://") or (
        issuer.startswith("http://") and url.startswith("http://")
    )


class Provider:
    """One provider, for one client.

    :param issuer: its URL, exactly as the provider calls itself.
    :param tls: options for https.
    """

    def __init__(
        self,
        issuer: str,
        client_id: str,
        secrets: WatchedFiles[SecretValues],
        tls: ClientTLS | None = None,
    ) -> None:
        self.issuer, self.client_id = issuer, client_id
        self._secrets, self._tls = secrets, tls
        self.endpoints: Endpoints | None = None
        self._keys: Issuer | None = None

    async def start(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Begin to look for the provider."""
        self._tasks, self._worker = tasks, worker
        self._found = anyio.Event()
        tasks.start_service(self._discover)

    async def wait(self) -> Endpoints | None:
        """Return the endpoints, after a while if need be; None if the provider was never there."""
        if self.endpoints is None:
            with anyio.move_on_after(_WAIT_SECONDS):
                await self._found.wait()
        return self.endpoints

    async def _discover(self) -> None:
        failures = 0
        while True:
            try:
                await self._look()
                failures, pause = 0, DISCOVERY_SECONDS
            except (SideCallError, ValueError) as error:
                failures += 1
                pause = min(2.0 ** (failures - 1), LONGEST_PAUSE)
                if failures == 1:
                    log.warning("oidc: the provider %s cannot be used: %s", self.issuer, error)
            await anyio.sleep(pause)

    async def _look(self) -> None:
        url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
        answer = await http_client.request(
            "GET", url, timeout=CALL_SECONDS, max_body=LARGEST_ANSWER, tls=self._tls
        )
        if answer.status != 200:
            raise ValueError(f"status {answer.status}")
        found = endpoints(answer.body, self.issuer)
        if self.endpoints is None or self.endpoints.jwks != found.jwks:
            self._keys = Issuer(found.jwks, DISCOVERY_SECONDS, self._tls)
            await self._keys.start(self._tasks, self._worker)
        self.endpoints = found
        self._found.set()

    async def redeem(self, code: str, verifier: str, redirect_uri: str, nonce: str) -> Tokens:
        """Exchange the code of a login for tokens.

        :raises ProviderError: the provider refuses, or its ID token is not valid for this login.
        """
        tokens = await self._tokens(
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": redirect_uri,
                "code_verifier": verifier,
            }
        )
        if tokens.claims is None:
            raise ProviderError("the provider has sent no ID token")
        sent = tokens.claims.get("nonce")
        if not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), nonce.encode()):
            raise ProviderError("the ID token is for another login")
        return tokens

    async def renew(self, refresh_token: str, subject: str) -> Tokens:
        """Get new tokens.

        :raises ProviderError: the provider refuses, or answers for another user.
        """
        tokens = await self._tokens({"grant_type": "refresh_token", "refresh_token": refresh_token})
        if tokens.claims is not None and tokens.claims.get("sub") != subject:
            raise ProviderError("the new ID token is for another user")
        return tokens

    async def logout_claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a token with which the provider reports a logout.

        :raises ProviderError: it is not from the provider, or for another client.
        :raises ProviderAwayError: the keys of the provider are not there.
        """
        if await self.wait() is None:
            raise ProviderAwayError("the provider is not available")
        rules = self._rules({}, require_exp=False)  # drafts did not have it
        try:
            return await self._verified(token, rules)
        except TokenError as error:
            raise ProviderError(error.reason) from None

    async def _tokens(self, form: dict[str, str]) -> Tokens:
        found = await self.wait()
        if found is None or self._keys is None:
            raise ProviderAwayError("the provider is not available")
        headers = {"Accept": "application/json", "Content-Type": _FORM}
        secret = self._secrets.value.client
        if not secret:
            form["client_id"] = self.client_id
        elif found.posts_secret:
            form |= {"client_id": self.client_id, "client_secret": secret}
        else:  # RFC 6749, 2.3.1: both halves are encoded
            pair = f"{quote(self.client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        try:
            answer = await http_client.request(
                "POST",
                found.token,
                headers=headers,
                body=urlencode(form).encode(),
                timeout=CALL_SECONDS,
                max_body=LARGEST_ANSWER,
                tls=self._tls,
            )
        except SideCallError as error:
            raise ProviderAwayError(str(error)) from None
        content = _json(answer.body)
        if answer.status >= 500 or answer.status == 429:
            raise ProviderAwayError(f"status {answer.status}")
        if answer.status != 200:
            raise ProviderError(f"status {answer.status}, {content.get('error', 'no error')!r:.60}")
        return await self._read(content)

    async def _read(self, found: Mapping[str, Any]) -> Tokens:
        texts = {
            name: text if isinstance(text := found.get(name), str) else ""
            for name in ("id_token", "access_token", "refresh_token")
        }
        claims = await self._claims(texts["id_token"]) if texts["id_token"] else None
        lifetime = found.get("expires_in")
        is_number = isinstance(lifetime, int | float) and not isinstance(lifetime, bool)
        return Tokens(claims, **texts, lifetime=lifetime if is_number else None)

    async def _claims(self, id_token: str) -> dict[str, Any]:
        try:
            claims = await self._verified(id_token, self._rules({"sub": ()}))
        except TokenError as error:
            raise ProviderError(f"the ID token is not valid: {error.reason}") from None
        # OpenID Connect Core, 3.1.3.7: a token for several clients says which one has asked for it.
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", self.client_id if not several else None) != self.client_id:
            raise ProviderError("the ID token was made for another client")
        if not isinstance(claims["sub"], str):
            raise ProviderError("the ID token names no user")
        return claims

    def _rules(self, claims: Mapping[str, Sequence[Any]], *, require_exp: bool = True) -> Rules:
        return Rules(
            algorithms=ASYMMETRIC,
            leeway=LEEWAY,
            require_exp=require_exp,
            issuers=(self.issuer,),
            audiences=(self.client_id,),
            claims=claims,
        )

    async def _verified(self, id_token: str, rules: Rules) -> dict[str, Any]:
        assert self._keys is not None
        for again in (False, True):
            if self._keys.keys is None or again:
                has_waited = await self._keys.refresh()
                if not has_waited:
                    raise ProviderAwayError("too many logins wait for the keys")
            if self._keys.keys is None:
                raise UnknownKeyError("no keys")
            try:
                return verify(
                    id_token.encode("latin-1", "replace"), self._keys.keys, rules, time.time()
                )
            except UnknownKeyError:
                if again:
                    raise
        raise AssertionError("unreachable")


_FORM: Final = "application/x-www-form-urlencoded"


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}  # the caller reports what is missing
    return found if isinstance(found, dict) else {}
