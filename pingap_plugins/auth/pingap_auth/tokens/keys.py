"""Keys that verify tokens: one secret, one public key, or those of an issuer (JWKS, RFC 7517)."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeAlias

from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey, import_key

HMAC: Final = ("HS256", "HS384", "HS512")
ASYMMETRIC: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    "Ed25519",
)  # fmt: skip
"""Algorithms whose verifying key may be public. ``none`` is in neither list."""
MOST_ISSUER_KEYS: Final = 100
_LEAST_RSA_BITS: Final = 2048

Key: TypeAlias = OctKey | RSAKey | ECKey | OKPKey


class VerifyingKeys(Protocol):
    """Finds the key for a token."""

    def find(self, header: Mapping[str, Any]) -> Key | None:
        """Return the key for the header of a token; None if there is none for it."""


class OneKey:
    """The same key for every token: a secret or a public key.

    :param key: the key.
    """

    def __init__(self, key: Key) -> None:
        self.key = key

    def find(self, header: Mapping[str, Any]) -> Key | None:
        """Return the key."""
        return self.key


class IssuerKeys:
    """The keys of an issuer, by ``kid``.

    :param keys: ``kid`` -> keys, each with the algorithm that it is for; None: any that suits it.
    """

    def __init__(self, keys: Mapping[str, list[tuple[str | None, Key]]]) -> None:
        self._keys = keys

    def find(self, header: Mapping[str, Any]) -> Key | None:
        """Return the key that ``kid`` names, if it is for the algorithm of the token."""
        kid, alg = header.get("kid"), header.get("alg")
        if not isinstance(kid, str):
            return None
        return next(
            (key for for_alg, key in self._keys.get(kid, ()) if for_alg in (None, alg)), None
        )

    def __len__(self) -> int:
        return sum(map(len, self._keys.values()))


def secret_key(secret: str) -> OctKey:
    """Return the key of a shared secret. A short one is accepted; the caller warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return OctKey.import_key(secret.encode())


def public_key(pem: str, algorithm: str) -> Key:
    """Return a public key from PEM.

    :param algorithm: which it has to suit.
    :raises ValueError: not a public key, or for another algorithm; the text is not shown.
    """
    if "PRIVATE KEY" in pem:
        raise ValueError("public_key is a private key: only its public half belongs here")
    kind = _kind_for(algorithm)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            key: Key = kind.import_key(pem)
    except (JoseError, ValueError, TypeError):
        raise ValueError(f"public_key is not the PEM of a public key for {algorithm}") from None
    if isinstance(key, RSAKey) and _bits(key) < _LEAST_RSA_BITS:
        raise ValueError(f"public_key has fewer than {_LEAST_RSA_BITS} bits")
    return key


def _kind_for(algorithm: str) -> type[RSAKey | ECKey | OKPKey]:
    if algorithm.startswith("E"):
        return OKPKey if algorithm.startswith("Ed") else ECKey
    return RSAKey


def _bits(key: RSAKey) -> int:
    return int(key.raw_value.key_size)


def parse_jwks(document: bytes) -> IssuerKeys:
    """Return the keys of a JWKS document that can verify tokens.

    Left out are keys without ``kid``, for encryption, of unknown kinds, that are too short, and symmetric ones: a
    document that everybody can read must not contain those.

    :raises ValueError: not such a document, or no usable key in it.
    """
    try:
        found = json.loads(document)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    listed = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise ValueError('it has no array "keys"')  # noqa: TRY004 - of the document, not of our caller
    keys: dict[str, list[tuple[str | None, Key]]] = {}
    for one in listed[:MOST_ISSUER_KEYS]:
        if (key := _usable(one)) is not None:
            alg = one.get("alg")
            keys.setdefault(one["kid"], []).append((alg if isinstance(alg, str) else None, key))
    if not keys:
        raise ValueError("it has no key that can verify a token")
    return IssuerKeys(keys)


def _usable(one: object) -> Key | None:
    if not isinstance(one, dict) or not isinstance(one.get("kid"), str):
        return None
    if one.get("kty") not in ("RSA", "EC", "OKP") or one.get("use", "sig") != "sig":
        return None
    if one.get("alg") is not None and one["alg"] not in ASYMMETRIC:
        return None
    public = {name: one[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in one}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            key: Key = import_key(public)
    except (JoseError, ValueError, TypeError, KeyError):
        return None  # of one key among others; a document without any usable key is an error
    if isinstance(key, RSAKey) and _bits(key) < _LEAST_RSA_BITS:
        return None
    return key
