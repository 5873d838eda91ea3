"""A provider of the tests that says what a real one never would: its keys are real, its tokens are what a test wants."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from browser import Browser
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry, serialize_compact

from pingap.testing import Answer, Proxy, Received, Served, Upstream

KEYS = [RSAKey.generate_key(2048) for _ in range(2)]
CLIENT = "shop-client"


def signed(claims: dict[str, Any], key: RSAKey = KEYS[0], **header: Any) -> str:
    registry = JWSRegistry(algorithms=["RS256"], strict_check_header=False)
    head = {"alg": "RS256", "kid": "one", **header}
    return serialize_compact(head, json.dumps(claims).encode(), key, registry=registry)


def unsigned(claims: dict[str, Any]) -> str:
    head = b'{"alg":"none"}'
    return f"{_b64(head)}.{_b64(json.dumps(claims).encode())}."


def hs256_with_public_key(claims: dict[str, Any]) -> str:
    """Sign with what everybody knows (RFC 8725, 2.1)."""
    head = b'{"alg":"HS256","kid":"one"}'
    text = f"{_b64(head)}.{_b64(json.dumps(claims).encode())}"
    pem = KEYS[0].as_pem(private=False)
    return f"{text}.{_b64(hmac.digest(pem, text.encode(), 'sha256'))}"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class StrangeProvider:
    """Answers each call for tokens with right ones, and with what a test has changed.

    :ivar claims: added to those of a right ID token; None removes one.
    :ivar answer: added to the answer of the token endpoint; None removes a member.
    :ivar body: replaces that answer.
    :ivar hold: the answer waits for it.
    """

    def __init__(self, server: Upstream) -> None:
        self.server = server
        self.issuer = f"http://{server.addr}"
        self.claims: dict[str, Any] = {}
        self.answer: dict[str, Any] = {}
        self.more: dict[str, Any] = {}
        """What its description says besides."""
        self.body: bytes | None = None
        self.status = 200
        self.nonce = ""
        self.hold = threading.Event()
        self.hold.set()
        self.calls: list[dict[str, list[str]]] = []
        self.secrets: list[str] = []
        self._called = threading.Condition()
        server.on("/.well-known/openid-configuration", self._describe)
        server.on("/keys", self._keys)
        server.on("/token", self._tokens)

    def _describe(self, served: Served, request: Received) -> None:
        served.respond(
            json.dumps(
                {
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{self.issuer}/authorize",
                    "token_endpoint": f"{self.issuer}/token",
                    "jwks_uri": f"{self.issuer}/keys",
                    **self.more,
                }
            ).encode()
        )

    def _keys(self, served: Served, request: Received) -> None:
        keys = [{**KEYS[0].as_dict(private=False), "kid": "one"}]
        served.respond(json.dumps({"keys": keys}).encode())

    def right_claims(self) -> dict[str, Any]:
        return {
            "iss": self.issuer, "aud": CLIENT, "sub": "alice", "nonce": self.nonce,
            "exp": int(time.time()) + 3600, "iat": int(time.time()),
        }  # fmt: skip

    def id_token(self) -> str:
        claims = {**self.right_claims(), **self.claims}
        return signed({name: one for name, one in claims.items() if one is not None})

    def wait_for_calls(self, number: int) -> None:
        with self._called:
            assert self._called.wait_for(lambda: len(self.calls) >= number, 20)

    def _tokens(self, served: Served, request: Received) -> None:
        scheme, _, pair = (request.header("authorization") or "").partition(" ")
        assert scheme == "Basic", request
        self.secrets.append(base64.b64decode(pair).decode())
        with self._called:
            self.calls.append(parse_qs(request.body.decode()))
            self._called.notify_all()
        self.hold.wait(20)
        right = {
            "id_token": self.id_token(), "access_token": f"access-{len(self.calls)}",
            "refresh_token": f"refresh-{len(self.calls)}", "expires_in": 300, "token_type": "Bearer",
        }  # fmt: skip
        found = {name: one for name, one in {**right, **self.answer}.items() if one is not None}
        served.respond(json.dumps(found).encode() if self.body is None else self.body, self.status)


@contextmanager
def strange_provider() -> Iterator[StrangeProvider]:
    with Upstream() as server:
        yield StrangeProvider(server)


class StrangeSite:
    """A site whose users log in at such a provider."""

    def __init__(self, proxy: Proxy, provider: StrangeProvider) -> None:
        self.proxy, self.provider = proxy, provider
        self.url = f"http://127.0.0.1:{proxy.port()}"

    def callback(self, browser: Browser, path: str = "/") -> str:
        """Begin a login, and return the URL to which the provider would send the user back."""
        answer = browser.get(self.url + path)
        assert answer.status == 302, answer
        sent = parse_qs(urlsplit(answer.headers["Location"]).query)
        self.provider.nonce = sent["nonce"][0]
        return f"{sent['redirect_uri'][0]}?state={sent['state'][0]}&code=the-code"

    def log_in(self, browser: Browser, path: str = "/") -> Answer:
        return browser.get(self.callback(browser, path))
