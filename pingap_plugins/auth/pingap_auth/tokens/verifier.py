"""Checks tokens (RFC 7519) with the advice of RFC 8725: nothing in a token decides how it is checked."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry, extract_compact, validate_compact

from pingap_auth.tokens.keys import ASYMMETRIC, HMAC, VerifyingKeys

LONGEST_TOKEN: Final = 16 * 1024
_NO_TIME: Final = 2**63
"""No clock gets there; larger integers cannot be added to the leeway."""


class TokenError(Exception):
    """A token is not valid.

    :param reason: a word for metrics and the log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MalformedTokenError(TokenError):
    """It does not have the form of a token."""


class ExpiredTokenError(TokenError):
    """It was valid."""


class UnknownKeyError(TokenError):
    """No key is known that could verify it; a newer set of keys may have one."""


class _Registry(JWSRegistry):
    max_header_length = max_payload_length = LONGEST_TOKEN
    max_signature_length = 2048

    def get_alg(self, name: str) -> Any:
        """Return an algorithm that ``Rules`` allow; the original warns of some that issuers use."""
        return self.algorithms[name]


_REGISTRY: Final = _Registry(
    algorithms=[name for name in JWSRegistry.algorithms if name != "none"],
    strict_check_header=False,  # headers that nobody needs to understand; ``crit`` is still checked
)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a token has to fulfil.

    :param algorithms: allowed ones.
    :param leeway: seconds by which clocks may differ.
    :param require_exp: whether a token without ``exp`` is refused.
    :param audiences: ``aud`` has to contain one of them; empty: not checked.
    :param issuers: the same for ``iss``.
    :param claims: claim -> allowed values; empty: any value, but it has to be there.
    """

    algorithms: Collection[str]
    leeway: float = 0.0
    require_exp: bool = True
    audiences: Sequence[str] = ()
    issuers: Sequence[str] = ()
    claims: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.algorithms or not set(self.algorithms) <= {*HMAC, *ASYMMETRIC}:
            raise ValueError(f"{self.algorithms!r} are not algorithms that verify anything")


def verify(token: bytes, keys: VerifyingKeys, rules: Rules, now: float) -> dict[str, Any]:
    """Return the claims of a valid token.

    :param now: seconds of Unix time.
    :raises TokenError: it is not valid.
    """
    claims = _signed_claims(token, keys, rules)
    check_times(claims, rules, now)
    if rules.audiences and not _has_any(claims.get("aud"), rules.audiences):
        raise TokenError("audience")
    if rules.issuers and claims.get("iss") not in rules.issuers:
        raise TokenError("issuer")
    if not fulfil(claims, rules.claims):
        raise TokenError("claims")
    return claims


def fulfil(claims: Mapping[str, Any], required: Mapping[str, Sequence[Any]]) -> bool:
    """Return whether claims have all required ones.

    :param required: claim -> allowed values; empty: any value.
    """
    for name, allowed in required.items():
        found = claim(claims, name)
        if found is None or (allowed and not _has_any(found, allowed)):
            return False
    return True


def _signed_claims(token: bytes, keys: VerifyingKeys, rules: Rules) -> dict[str, Any]:
    if len(token) > LONGEST_TOKEN:
        raise TokenError("too long")
    if token.count(b".") != 2:
        raise MalformedTokenError("format")
    try:
        signed = extract_compact(token, registry=_REGISTRY)
        header = signed.headers()
        if not isinstance(header, dict) or not isinstance(alg := header.get("alg"), str):
            raise TokenError("header")
        if alg not in rules.algorithms:
            raise TokenError("algorithm")
        if (key := keys.find(header)) is None:
            raise UnknownKeyError("unknown key")
        if not validate_compact(signed, key, registry=_REGISTRY):
            raise UnknownKeyError("signature")  # or a new key with an old name
        claims = json.loads(signed.payload or b"")
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        raise TokenError("malformed") from None
    if not isinstance(claims, dict):
        raise TokenError("claims")
    return claims


def check_times(claims: Mapping[str, Any], rules: Rules, now: float) -> None:
    """Check the times of a token whose signature was already verified.

    :raises TokenError: it is not valid now.
    """
    if (expires := claims.get("exp")) is None:
        if rules.require_exp:
            raise TokenError("no exp")
    elif not _is_time(expires) or now >= expires + rules.leeway:
        raise ExpiredTokenError("expired")
    begins = claims.get("nbf")
    if begins is not None and (not _is_time(begins) or now < begins - rules.leeway):
        raise TokenError("not yet valid")


def _is_time(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value < _NO_TIME


def _has_any(found: object, allowed: Sequence[Any]) -> bool:
    values = found if isinstance(found, list) else [found]
    # 1, 1.0 and true are equal in Python, and different in JSON.
    return any(type(one) is type(other) and one == other for one in values for other in allowed)


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim; ``realm_access.roles`` is the claim ``roles`` in the object ``realm_access``.

    A claim with the whole name comes first, as in ``https://example.com/roles``.
    """
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        if not isinstance(found, dict):
            return None
        found = found.get(part)
    return found
