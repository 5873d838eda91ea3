"""The check of tokens, without a proxy: what is valid, and every way of being not."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSAlgModel, JWSRegistry, serialize_compact
from pingap_auth.tokens.claim_headers import header_text
from pingap_auth.tokens.keys import ASYMMETRIC, HMAC, OneKey, parse_jwks, public_key, secret_key
from pingap_auth.tokens.verifier import (
    ExpiredTokenError,
    MalformedTokenError,
    Rules,
    TokenError,
    UnknownKeyError,
    claim,
    verify,
)

SECRET = "0123456789abcdef0123456789abcdef"
NOW = 1_800_000_000
RSA = RSAKey.generate_key(2048, private=True)
EC256, EC384, EC521 = (ECKey.generate_key(curve) for curve in ("P-256", "P-384", "P-521"))
ED = OKPKey.generate_key("Ed25519")
PRIVATE: dict[str, Any] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSA),
    "ES256": EC256, "ES384": EC384, "ES512": EC521, "EdDSA": ED,
}  # fmt: skip


class _Any(JWSRegistry):
    def get_alg(self, name: str) -> JWSAlgModel:
        return self.algorithms[name]


ANY = _Any(algorithms=[*HMAC, *ASYMMETRIC], strict_check_header=False)


def token(
    claims: Any, alg: str = "HS256", key: Any = None, header: dict[str, Any] | None = None
) -> bytes:
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    key = key or (secret_key(SECRET) if alg in HMAC else PRIVATE[alg])
    return serialize_compact({"alg": alg, **(header or {})}, payload, key, registry=ANY).encode()


def b64(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def check(text: bytes, key: Any = None, **rules: Any) -> dict[str, Any]:
    rules.setdefault("algorithms", HMAC)
    return verify(text, key or OneKey(secret_key(SECRET)), Rules(**rules), NOW)


def reason(text: bytes, key: Any = None, **rules: Any) -> str:
    with pytest.raises(TokenError) as caught:
        check(text, key, **rules)
    return caught.value.reason


GOOD = {"sub": "alice", "exp": NOW + 60}


@pytest.mark.parametrize("alg", HMAC)
def test_secrets(alg: str) -> None:
    assert check(token(GOOD, alg)) == GOOD
    assert reason(token(GOOD, alg, secret_key(SECRET + "x"))) == "signature"


@pytest.mark.parametrize("alg", PRIVATE)
def test_public_keys(alg: str) -> None:
    pem = PRIVATE[alg].as_pem(private=False).decode()
    key = OneKey(public_key(pem, alg))
    assert check(token(GOOD, alg), key, algorithms=(alg,)) == GOOD
    changed = token(GOOD, alg)[:-8] + b"AAAAAAAA"
    assert reason(changed, key, algorithms=(alg,)) in ("signature", "malformed")


def test_none_is_never_accepted() -> None:
    for alg in ("none", "None", "NONE", "nOnE", ""):
        for signature in ("", "x"):
            text = f"{b64({'alg': alg})}.{b64(GOOD)}.{signature}".encode()
            assert reason(text) in ("algorithm", "malformed")
    for names in (("none", *HMAC), ("None",), ()):
        with pytest.raises(ValueError, match="are not algorithms"):
            Rules(algorithms=names)


def test_a_public_key_is_no_secret() -> None:
    """The classical confusion: HMAC with the text of the public key."""
    pem = RSA.as_pem(private=False)
    signed = f"{b64({'alg': 'HS256'})}.{b64(GOOD)}"
    forged = f"{signed}.{b64(hmac.digest(pem, signed.encode(), 'sha256'))}".encode()
    key = OneKey(public_key(pem.decode(), "RS256"))
    assert reason(forged, key, algorithms=("RS256",)) == "algorithm"
    assert reason(forged, key, algorithms=("RS256", "HS256")) == "malformed"


def test_a_key_in_the_token_is_not_used() -> None:
    other = RSAKey.generate_key(2048)
    key = OneKey(public_key(RSA.as_pem(private=False).decode(), "RS256"))
    for header in (
        {"jwk": other.as_dict(private=False)},
        {"jku": "http://evil.example/keys"},
        {"x5u": "http://evil.example/cert"},
        {"x5c": ["MII"]},
        {"kid": "../../dev/null"},
    ):
        forged = token(GOOD, "RS256", other, header)
        assert reason(forged, key, algorithms=("RS256",)) in ("signature", "malformed")


def test_only_pinned_algorithms() -> None:
    assert reason(token(GOOD, "HS512"), algorithms=("HS256",)) == "algorithm"
    key = OneKey(public_key(RSA.as_pem(private=False).decode(), "RS256"))
    assert reason(token(GOOD, "PS256"), key, algorithms=("RS256",)) == "algorithm"


@pytest.mark.parametrize("alg", [["HS256"], {"HS256": 1}, 1, None, True, "hs256", "HS256 "])
def test_an_algorithm_that_is_no_name(alg: Any) -> None:
    signed = token(GOOD).decode()
    text = f"{b64({'alg': alg})}.{signed.partition('.')[2]}".encode()
    assert reason(text) in ("header", "algorithm", "malformed")


@pytest.mark.parametrize("header", [b"[]", b"1", b"null", b'"a"', b"{", b"", b"\xff", b"[" * 9000])
def test_a_header_that_is_none(header: bytes) -> None:
    assert reason(f"{b64(header)}.{b64(GOOD)}.x".encode()) in ("malformed", "header", "too long")


def test_critical_headers_are_understood_or_refused() -> None:
    text = token(GOOD)
    head = b64({"alg": "HS256", "crit": ["exp"], "exp": 1})
    assert reason(f"{head}.{text.decode().partition('.')[2]}".encode()) == "malformed"


@pytest.mark.parametrize(
    "payload", [b"[]", b"1", b"null", b'"a"', b"{", b"", b"\xff", b"[" * 5000, b"1" * 5000]
)
def test_claims_that_are_no_object(payload: bytes) -> None:
    assert reason(token(payload)) in ("malformed", "claims")


@pytest.mark.parametrize("text", [b"", b"a", b"a.b", b"a.b.c.d", b"....", b"a.b.c.d.e"])
def test_what_has_not_three_parts(text: bytes) -> None:
    with pytest.raises(MalformedTokenError):
        check(text)


def test_a_long_token() -> None:
    assert reason(token({**GOOD, "x": "x" * 20_000})) == "too long"
    assert check(token({**GOOD, "x": "x" * 10_000}))["sub"] == "alice"


# Times.


@pytest.mark.parametrize(
    ("exp", "leeway", "valid"),
    [
        (NOW + 1, 0, True), (NOW, 0, False), (NOW - 1, 0, False), (NOW - 59, 60, True),
        (NOW - 60, 60, False), (NOW + 0.5, 0, True), (0, 0, False), (-1, 1e12, False),
        ("9999999999", 0, False), (True, 1e12, False), ([], 0, False), ({}, 0, False), ("", 0, False),
    ],
)  # fmt: skip
def test_exp(exp: Any, leeway: float, valid: bool) -> None:
    if valid:
        assert check(token({"exp": exp}), leeway=leeway)
    else:
        with pytest.raises(ExpiredTokenError):
            check(token({"exp": exp}), leeway=leeway)


@pytest.mark.parametrize("exp", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1" + 400 * b"0"])
def test_numbers_that_are_none(exp: bytes) -> None:
    with pytest.raises(ExpiredTokenError):
        check(token(b'{"exp":%b}' % exp))


def test_a_token_that_never_expires() -> None:
    assert reason(token({"sub": "a"})) == "no exp"
    assert reason(token({"sub": "a", "exp": None})) == "no exp"
    assert check(token({"sub": "a"}), require_exp=False) == {"sub": "a"}


@pytest.mark.parametrize(
    ("nbf", "valid"),
    [
        (NOW, True),
        (NOW - 1, True),
        (NOW + 60, True),
        (NOW + 61, False),
        ("1", False),
        (True, False),
    ],
)
def test_nbf(nbf: Any, valid: bool) -> None:
    text = token({**GOOD, "nbf": nbf})
    if valid:
        assert check(text, leeway=60)
    else:
        assert reason(text, leeway=60) == "not yet valid"


# Claims.


@pytest.mark.parametrize(
    ("aud", "valid"),
    [("api", True), (["x", "api"], True), ("API", False), ("apis", False), (["x"], False), ([], False),
     (None, False), ({"api": 1}, False), (1, False), ("a,api", False), ([["api"]], False)],
)  # fmt: skip
def test_audience(aud: Any, valid: bool) -> None:
    text = token({**GOOD, "aud": aud})
    if valid:
        assert check(text, audiences=["api", "other"])
    else:
        assert reason(text, audiences=["api", "other"]) == "audience"


@pytest.mark.parametrize(
    ("iss", "valid"),
    [("https://a", True), ("https://a/", False), (None, False), (["https://a"], False)],
)
def test_issuer(iss: Any, valid: bool) -> None:
    text = token({**GOOD, "iss": iss})
    assert (
        (reason(text, issuers=["https://a"]) == "issuer")
        if not valid
        else check(text, issuers=["https://a"])
    )


@pytest.mark.parametrize(
    ("claims", "required", "valid"),
    [
        ({"role": "admin"}, {"role": ["admin", "editor"]}, True),
        ({"role": ["x", "admin"]}, {"role": ["admin"]}, True),
        ({"role": "administrator"}, {"role": ["admin"]}, False),
        ({}, {"role": []}, False),
        ({"role": None}, {"role": []}, False),
        ({"role": ""}, {"role": []}, True),
        ({"ok": True}, {"ok": [True]}, True),
        ({"ok": 1}, {"ok": [True]}, False),
        ({"ok": "true"}, {"ok": [True]}, False),
        ({"a": {"b": ["c"]}}, {"a.b": ["c"]}, True),
        ({"a.b": "c"}, {"a.b": ["c"]}, True),
        ({"a": "b"}, {"a.b": ["c"]}, False),
    ],
)  # fmt: skip
def test_required_claims(claims: Any, required: Any, valid: bool) -> None:
    text = token({**GOOD, **claims})
    if valid:
        assert check(text, claims=required)
    else:
        assert reason(text, claims=required) == "claims"


def test_claims_as_headers() -> None:
    assert header_text("a,b") == "a,b"
    assert header_text(["a", "b"]) == "a,b"
    assert header_text(["a,b"]) == '["a,b"]'
    assert header_text(True) == "true"
    assert header_text({"a": 1}) == '{"a":1}'
    assert header_text("ä\n") == "ä\n"  # refused where it becomes a field
    assert claim({"a": {"b": 1}}, "a.b.c") is None


# Keys.


def jwks(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


def as_jwk(key: Any, **more: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), **more}


def test_the_keys_of_an_issuer() -> None:
    keys = parse_jwks(jwks(as_jwk(RSA, kid="r"), as_jwk(EC256, kid="e", alg="ES256")))
    assert check(token(GOOD, "RS256", header={"kid": "r"}), keys, algorithms=ASYMMETRIC) == GOOD
    assert check(token(GOOD, "PS512", header={"kid": "r"}), keys, algorithms=ASYMMETRIC) == GOOD
    assert check(token(GOOD, "ES256", header={"kid": "e"}), keys, algorithms=ASYMMETRIC) == GOOD
    for header in ({"kid": "x"}, {}, {"kid": "R"}, {"kid": ""}):
        with pytest.raises(UnknownKeyError):
            check(token(GOOD, "RS256", header=header), keys, algorithms=ASYMMETRIC)


def test_a_key_is_only_for_its_algorithm() -> None:
    keys = parse_jwks(jwks(as_jwk(RSA, kid="r", alg="RS256")))
    text = token(GOOD, "PS256", header={"kid": "r"})
    assert reason(text, keys, algorithms=ASYMMETRIC) == "unknown key"
    text = token(GOOD, "ES256", header={"kid": "r"})
    assert (
        reason(text, parse_jwks(jwks(as_jwk(RSA, kid="r"))), algorithms=ASYMMETRIC) == "malformed"
    )


def test_what_a_document_may_not_contain_is_left_out() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    pem = weak.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with pytest.warns(Warning, match="Key size"):
        weak_key = RSAKey.import_key(pem)
    bad = [
        as_jwk(RSA),  # without kid
        as_jwk(RSA, kid="a", use="enc"),
        as_jwk(weak_key, kid="b"),
        {"kty": "oct", "kid": "c", "k": b64(b"secret")},
        as_jwk(RSA, kid="d", alg="HS256"),
        as_jwk(RSA, kid="e", alg="none"),
        {"kty": "RSA", "kid": "f", "n": "!", "e": "AQAB"},
        {"kty": "new", "kid": "g"},
        as_jwk(RSA, kid=1),
        1, None, [], "x",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="no key that can verify"):
        parse_jwks(jwks(*bad))
    assert len(parse_jwks(jwks(*bad, as_jwk(RSA, kid="good")))) == 1


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": []}', b"<html>", b"[" * 50_000]
)
def test_a_document_that_is_none(document: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        parse_jwks(document)


def test_public_keys_that_are_none() -> None:
    cases = {
        "private": (RSA.as_pem(private=True).decode(), "RS256"),
        "not the PEM": (RSA.as_pem(private=False).decode(), "ES256"),
        "not the PEM ": ("hush", "RS256"),
    }
    for match, (pem, alg) in cases.items():
        with pytest.raises(ValueError, match=match.strip()) as caught:
            public_key(pem, alg)
        assert "hush" not in str(caught.value)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_token_error(data: bytes) -> None:
    with pytest.raises(TokenError):
        check(data)


@given(st.integers(0, 400), st.binary(min_size=1, max_size=1))
def test_a_changed_byte_is_never_accepted(at: int, byte: bytes) -> None:
    text = token(GOOD)
    at %= len(text)
    changed = text[:at] + byte + text[at + 1 :]
    signature = len(text) - text.rindex(b".") - 1
    if changed == text or at >= len(text) - signature:  # spare bits at its end mean nothing
        return
    with pytest.raises(TokenError):
        check(changed)
