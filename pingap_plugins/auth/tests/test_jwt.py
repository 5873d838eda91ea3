"""``jwt`` as clients see it."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry, serialize_compact
from pingap_auth.tokens.keys import ASYMMETRIC

from pingap.testing import Answer, Proxy, Received, Served, Upstream, configuration_problems

SECRET = "0123456789abcdef0123456789abcdef"
MISSING = (401, "Jwt authorization is missing")
FORMAT = (401, "Jwt authorization format is invalid")
INVALID = (401, "Jwt authorization is invalid")
EXPIRED = (401, "Jwt authorization is expired")
RSA, OTHER = RSAKey.generate_key(2048), RSAKey.generate_key(2048)
EC = ECKey.generate_key("P-256")


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def hs256(claims: dict[str, Any], secret: str = SECRET, header: str = '{"alg":"HS256"}') -> str:
    """Sign by hand, so that the library does not only agree with itself."""
    signed = f"{b64(header.encode())}.{b64(json.dumps(claims).encode())}"
    return f"{signed}.{b64(hmac.digest(secret.encode(), signed.encode(), 'sha256'))}"


def by_key(claims: dict[str, Any], key: Any = RSA, kid: str = "one", alg: str = "RS256") -> str:
    registry = JWSRegistry(algorithms=list(ASYMMETRIC))
    payload = json.dumps(claims).encode()
    return serialize_compact({"alg": alg, "kid": kid}, payload, key, registry=registry)


def soon(**claims: Any) -> dict[str, Any]:
    return {"sub": "alice", "exp": int(time.time()) + 600, **claims}


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.text


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def site(proxy: Proxy) -> Proxy:
    proxy.configure("servers.web", enabled_h2=True, access_log="[{:user}] {:door.failure} {status}")
    proxy.configure(
        "plugins.door",
        category="jwt",
        header="Authorization",
        cookie="token",
        query="token",
        secret=SECRET,
        claim_headers={"X-User": "sub", "X-Roles": "roles"},
    )
    proxy.location("/", plugins=["door"])
    return proxy


def test_a_token_in_each_place(site: Proxy, upstream: Upstream) -> None:
    token = hs256(soon())
    for headers in (
        bearer(token),
        {"authorization": f"bearer  {token}"},
        {"Authorization": token},
        {"Cookie": f"a=b; token={token}"},
    ):
        assert site.get("/", headers=headers).status == 200
    assert site.get(f"/?token={token}").status == 200
    assert {one.header("x-user") for one in upstream.requests} == {"alice"}
    assert site.access_log == ["[alice]  200"] * 5


def test_the_header_counts_before_the_others(site: Proxy) -> None:
    good, bad = hs256(soon()), hs256(soon(), "x" * 32)
    assert site.get(f"/?token={bad}", headers=bearer(good)).status == 200
    assert told(site.get(f"/?token={good}", headers=bearer(bad))) == INVALID


def test_no_token(site: Proxy, upstream: Upstream) -> None:
    for headers in ({}, {"Authorization": ""}, {"Authorization": "Bearer "}, {"Cookie": "token="}):
        answer = site.get("/?token=", headers=headers)
        assert told(answer) == MISSING
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("token", "answer"),
    [
        ("a", FORMAT),
        ("a.b", FORMAT),
        ("a.b.c.d", FORMAT),
        ("a.b.c", INVALID),
        (hs256({"exp": 1}), EXPIRED),
        (hs256({"exp": "never"}), EXPIRED),
        (hs256({"sub": "a"}), INVALID),  # it would never expire
        (hs256({"exp": 4e9}, "x" * 32), INVALID),
        (hs256({"exp": 4e9}, header='{"alg":"none"}').rpartition(".")[0] + ".", INVALID),
        (hs256({"exp": 4e9}, header='{"alg":"HS384"}'), INVALID),
        (hs256({"exp": 4e9, "nbf": 3e9}), INVALID),
        (hs256({"exp": 4e9, "sub": "a\r\nX-Admin: 1"}), INVALID),
        (hs256({"exp": 4e9, "roles": ["a\0"]}), INVALID),
        (hs256({"exp": 4e9})[:-1], INVALID),
        (hs256({"exp": 4e9}) + "é", INVALID),
        ("." * 2, INVALID),
        ("A" * 20_000 + ".b.c", INVALID),
    ],
)
def test_what_is_refused(
    site: Proxy, upstream: Upstream, token: str, answer: tuple[int, str]
) -> None:
    got = site.get("/", headers=bearer(token))
    assert told(got) == answer
    assert got.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert upstream.requests == []


@pytest.mark.parametrize("place", ["header", "cookie", "query"])
def test_several_tokens_in_one_place(site: Proxy, upstream: Upstream, place: str) -> None:
    one, two = hs256(soon()), hs256(soon(sub="bob"))
    for first, second in ((one, two), (two, one)):
        if place == "header":
            headers = [("Authorization", f"Bearer {first}"), ("Authorization", f"Bearer {second}")]
            answer = site.get("/", headers=headers)
        elif place == "cookie":
            answer = site.get("/", headers={"Cookie": f"token={first}; token={second}"})
        else:
            answer = site.get(f"/?token={first}&%74oken={second}")
        assert told(answer) == INVALID
    assert upstream.requests == []


def test_headers_of_claims_cannot_be_forged(site: Proxy, upstream: Upstream) -> None:
    token = hs256(soon(roles=["a", "b"]))
    site.get("/", headers=[*bearer(token).items(), ("X-User", "root"), ("x-roles", "admin")])
    site.get("/", headers=[*bearer(hs256(soon())).items(), ("X-Roles", "admin")])
    seen = [
        (one.headers.get_all("x-user"), one.headers.get_all("x-roles")) for one in upstream.requests
    ]
    assert seen == [(["alice"], ["a,b"]), (["alice"], [])]


def test_a_hidden_token_never_reaches_the_upstream(proxy: Proxy, upstream: Upstream) -> None:
    places = {"header": "Authorization", "cookie": "token", "query": "token"}
    proxy.location("/", plugins=[("jwt", {**places, "secret": SECRET, "hide_credentials": True})])
    token = hs256(soon())
    cookies = {"Cookie": f"a=b; token={token}; c=d"}
    proxy.get(f"/%61?x&%74oken={token}", headers={**bearer(token), **cookies})
    proxy.get("/", headers={"Cookie": f"token={token}"})
    first, second = upstream.requests
    assert (first.target, first.header("cookie"), first.header("authorization")) == (
        "/%61?x",
        "a=b; c=d",
        None,
    )
    assert second.header("cookie") is None


def test_rules_of_the_operator(proxy: Proxy) -> None:
    settings = {
        "header": "Authorization",
        "secret": SECRET,
        "algorithm": "HS256",
        "audience": ["api"],
        "issuer": ["https://issuer.example"],
        "required_claims": {"realm_access.roles": ["admin"], "email_verified": [True]},
        "require_exp": False,
    }
    proxy.location("/", plugins=[("jwt", settings)])
    good = {
        "aud": ["api", "x"], "iss": "https://issuer.example",
        "realm_access": {"roles": ["admin", "x"]}, "email_verified": True,
    }  # fmt: skip
    assert proxy.get("/", headers=bearer(hs256(good))).status == 200
    for name in good:
        less = {key: value for key, value in good.items() if key != name}
        assert told(proxy.get("/", headers=bearer(hs256(less)))) == INVALID
    assert told(proxy.get("/", headers=bearer(hs256({**good, "email_verified": 1})))) == INVALID


def test_a_public_key_whose_file_is_replaced(proxy: Proxy, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(RSA.as_pem(private=False))
    settings = {"header": "Authorization", "algorithm": "RS256", "public_key": f"file:{path}"}
    proxy.location("/", plugins=[("jwt", settings)])
    assert proxy.get("/", headers=bearer(by_key(soon()))).status == 200
    late = soon(exp=int(time.time()) - 30)  # within a minute
    assert proxy.get("/", headers=bearer(by_key(late))).status == 200
    assert told(proxy.get("/", headers=bearer(by_key(soon(exp=1))))) == INVALID
    assert told(proxy.get("/", headers=bearer("a.b"))) == INVALID
    path.write_bytes(OTHER.as_pem(private=False))
    proxy.wait_for_log("was read again")
    assert told(proxy.get("/", headers=bearer(by_key(soon())))) == INVALID
    assert proxy.get("/", headers=bearer(by_key(soon(), OTHER))).status == 200


def test_a_token_that_was_verified_expires_nevertheless(site: Proxy, clock: Any) -> None:
    token = hs256(soon(exp=int(time.time()) + 30))
    for _ in range(3):
        assert site.get("/", headers=bearer(token)).status == 200
    clock.advance(40)
    assert told(site.get("/", headers=bearer(token))) == EXPIRED


# The keys of an issuer.


class IssuerSite:
    """An issuer, and a proxy that trusts it."""

    def __init__(self, issuer: Upstream) -> None:
        self.upstream, self.keys, self.fails = issuer, {"one": RSA}, False
        self.hold = threading.Event()
        self.hold.set()
        issuer.on("/keys", self.answer)

    def answer(self, served: Served, request: Received) -> None:
        self.hold.wait(20)
        keys = [{**key.as_dict(private=False), "kid": kid} for kid, key in self.keys.items()]
        served.respond(json.dumps({"keys": keys}).encode(), 500 if self.fails else 200)

    @property
    def asked(self) -> int:
        return len(self.upstream.requests)


@pytest.fixture
def issuer() -> Any:
    with Upstream() as server:
        yield IssuerSite(server)


@pytest.fixture
def trusting(proxy: Proxy, issuer: IssuerSite) -> Proxy:
    url = f"http://{issuer.upstream.addr}/keys?client=hush"
    proxy.location("/", plugins=[("jwt", {"header": "Authorization", "jwks_url": url})])
    return proxy


def test_keys_of_an_issuer(trusting: Proxy, issuer: IssuerSite) -> None:
    for _ in range(3):
        assert trusting.get("/", headers=bearer(by_key(soon()))).status == 200
    assert issuer.asked == 1
    assert told(trusting.get("/", headers=bearer(by_key(soon(), OTHER)))) == INVALID
    assert told(trusting.get("/", headers=bearer(hs256(soon())))) == INVALID
    assert told(trusting.get("/")) == MISSING


def test_all_waiting_requests_share_one_fetch(trusting: Proxy, issuer: IssuerSite) -> None:
    issuer.hold.clear()
    clients = [trusting.connect() for _ in range(5)]
    for client in clients:
        client.send_request("GET", "/", headers=bearer(by_key(soon())))
    issuer.upstream.wait_for_request()
    issuer.hold.set()
    assert [client.answer().status for client in clients] == [200] * 5
    for client in clients:
        client.close()
    assert issuer.asked == 1


def test_only_so_many_requests_wait_for_keys(
    trusting: Proxy, issuer: IssuerSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pingap_auth.tokens.issuer.MOST_WAITING", 0)
    answer = trusting.get("/", headers=bearer(by_key(soon())))
    assert told(answer) == (503, "The keys of the issuer are not available")
    assert answer.headers["Retry-After"] == "5"


def test_a_new_key_is_fetched_when_a_token_needs_it(
    trusting: Proxy, issuer: IssuerSite, clock: Any
) -> None:
    assert trusting.get("/", headers=bearer(by_key(soon()))).status == 200
    issuer.keys = {"two": EC}
    rotated = bearer(by_key(soon(), EC, "two", "ES256"))
    assert told(trusting.get("/", headers=rotated)) == INVALID  # asked a moment ago
    clock.advance(11)
    assert trusting.get("/", headers=rotated).status == 200
    assert told(trusting.get("/", headers=bearer(by_key(soon())))) == INVALID


def test_unknown_keys_do_not_flood_the_issuer(trusting: Proxy, issuer: IssuerSite) -> None:
    assert trusting.get("/", headers=bearer(by_key(soon()))).status == 200
    for number in range(50):
        token = by_key(soon(), OTHER, f"kid{number}")
        assert told(trusting.get("/", headers=bearer(token))) == INVALID
    assert issuer.asked <= 2


def test_the_last_keys_stay_while_the_issuer_is_down(
    trusting: Proxy, issuer: IssuerSite, clock: Any
) -> None:
    good = bearer(by_key(soon(exp=int(time.time()) + 100_000)))
    assert trusting.get("/", headers=good).status == 200
    issuer.fails = True
    clock.advance(3700)
    trusting.wait_for_log("cannot be fetched: status 500")
    assert "hush" not in trusting.log
    assert trusting.get("/", headers=good).status == 200
    issuer.fails = False
    clock.advance(61)
    trusting.wait_for_log("can be fetched again")
    assert trusting.get("/", headers=good).status == 200


def test_an_issuer_that_was_never_there(proxy: Proxy, issuer: IssuerSite) -> None:
    issuer.fails = True
    url = f"http://{issuer.upstream.addr}/keys"
    proxy.location("/", plugins=[("jwt", {"header": "Authorization", "jwks_url": url})])
    for _ in range(20):
        answer = proxy.get("/", headers=bearer(by_key(soon())))
        assert told(answer) == (503, "The keys of the issuer are not available")
    assert answer.headers["Retry-After"] == "5"
    assert issuer.asked <= 4  # the first pauses are 1, 2 and 4 s
    issuer.fails = False
    proxy.wait_for_log("can be fetched again")
    assert proxy.get("/", headers=bearer(by_key(soon()))).status == 200


# Logins.


@pytest.fixture
def login(proxy: Proxy, upstream: Upstream) -> Callable[..., Answer]:
    settings = {
        "header": "Authorization",
        "secret": SECRET,
        "auth_path": "/login",
        "token_ttl": "10m",
    }
    proxy.location("/", plugins=[("jwt", settings)])

    def get(body: bytes, status: int = 200, headers: Any = None, **more: Any) -> Answer:
        upstream.reply("/login", body, status=status, headers=headers or {})
        return proxy.get("/login", **more)

    return get


def test_a_login_gives_a_token(login: Callable[..., Answer], proxy: Proxy) -> None:
    answer = login(b'{"sub": "alice"}', headers={"ETag": '"a"', "Cache-Control": "max-age=60"})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.header("etag") is None
    token = answer.json()["token"]
    head, claims, _ = token.split(".")
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "HS256", "typ": "JWT"}
    found = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert found["sub"] == "alice"
    assert 590 < found["exp"] - time.time() <= 600
    assert proxy.get("/", headers=bearer(token)).status == 200


def test_a_login_that_says_when_it_ends(login: Callable[..., Answer]) -> None:
    body = b'{"sub":  "alice", "exp": 4000000000}'
    _, claims, _ = login(body).json()["token"].split(".")
    assert base64.urlsafe_b64decode(claims + "==") == body  # as it was


def test_a_failed_login_passes(login: Callable[..., Answer]) -> None:
    assert told(login(b"wrong password", status=403)) == (403, "wrong password")


@pytest.mark.parametrize(
    "body", [b"", b"hush", b"[1]", b'"hush"', b"{", b'{"a":"' + b"x" * 9000 + b'"}']
)
def test_a_login_that_gives_no_claims(
    login: Callable[..., Answer], proxy: Proxy, body: bytes
) -> None:
    answer = login(body)
    assert answer.status == 502
    assert "hush" not in answer.text
    assert "cannot become a token" in proxy.log


def test_a_compressed_login_is_not_signed(login: Callable[..., Answer], upstream: Upstream) -> None:
    answer = login(b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert answer.status == 502
    assert upstream.received_once().header("accept-encoding") == "identity"


def test_only_the_path_itself_is_exempt(
    login: Callable[..., Answer], proxy: Proxy, upstream: Upstream
) -> None:
    for path in ("/login/", "/login/x", "/Login", "/login2", "/login%2f", "/login;x"):
        assert proxy.get(path).status in (401, 400)
    assert upstream.requests == []


def test_claims_that_a_cache_kept_are_signed_as_well(proxy: Proxy, upstream: Upstream) -> None:
    settings = {"header": "Authorization", "secret": SECRET, "auth_path": "/login"}
    proxy.configure("plugins.kept", category="cache")
    proxy.location("/", plugins=[("jwt", settings), "kept"])
    upstream.reply("/login", b'{"sub": "alice"}', headers={"Cache-Control": "max-age=60"})
    for _ in range(2):
        assert list(proxy.get("/login").json()) == ["token"]
    assert len(upstream.requests) == 1


# The configuration.


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ('secret = "hush"', "no place for the token"),
        ('header = "A"', "no key: set secret, public_key or jwks_url"),
        ('header = "A"\nalgorithm = "RS256"', "RS256 needs public_key or jwks_url"),
        ('header = "A"\nalgorithm = "none"\nsecret = "hush"', "algorithm"),
        ('header = "A"\nalgorithm = "HS256"\npublic_key = "hush"', "public_key needs an algorithm"),
        (
            'header = "A"\nalgorithm = "RS256"\npublic_key = "hush"',
            "is not the PEM of a public key",
        ),
        ('header = "A"\nalgorithm = "HS256"\njwks_url = "https://a"', "HS256 needs a secret"),
        ('header = "A"\njwks_url = "a/keys"', "expected the http or https URL"),
        ('header = "A B"\nsecret = "hush"', "is not a header name"),
        (
            'header = "A"\njwks_url = "https://a"\nsecret = "hush"\nauth_path = "/x"',
            "auth_path signs tokens with secret",
        ),
        ('header = "A"\nsecret = "hush"\nauth_path = "x"', "begins with /"),
        ('header = "A"\nsecret = "hush"\nauth_path = "/x"\ntoken_ttl = "0s"', "would be refused"),
        ('header = "A"\nsecret = "hush"\nfail_open = true', "fail_open"),
        ('header = "A"\nsecret = "hush"\njwks_ttl = "soon"', "jwks_ttl"),
    ],
)
def test_mistakes(keys: str, reason: str) -> None:
    found = configuration_problems(f'[plugins.p]\ncategory = "jwt"\n{keys}\n')
    assert any(reason in one for one in found), found
    assert not any("hush" in one for one in found)


def test_a_short_secret_is_reported(proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    proxy.location("/", plugins=[("jwt", {"header": "Authorization", "secret": "short-hush"})])
    assert proxy.get("/", headers=bearer(hs256(soon(), "short-hush"))).status == 200
    assert "fewer than 32 characters" in caplog.text
    assert "hush" not in caplog.text + proxy.log
