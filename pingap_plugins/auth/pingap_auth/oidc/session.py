"""The session of a user, as its cookie contains it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pingap_auth.oidc.provider import Tokens
from pingap_auth.tokens.verifier import claim

RENEW_BEFORE = 30.0
"""Seconds before its tokens expire at which a session is renewed."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session.

    :param sid: its random name, by which a logout ends it everywhere.
    :param claims: those of the ID token that are needed.
    :param ends_at: when the user has to log in again.
    :param renew_at: when the provider is asked whether the user may still come in; 0: never.
    :param access_token: empty, unless the upstream gets it.
    """

    sid: str
    claims: dict[str, Any]
    ends_at: float
    renew_at: float
    refresh_token: str
    access_token: str
    id_token: str

    @classmethod
    def begin(
        cls,
        tokens: Tokens,
        needed: Sequence[str],
        lifetime: float,
        *,
        keep_access: bool,
        keep_id: bool,
    ) -> Session:
        """Return the session after a login.

        :param needed: claims that are kept.
        """
        assert tokens.claims is not None
        return cls(
            sid=secrets.token_urlsafe(16),
            claims=_kept(tokens.claims, needed),
            ends_at=time.time() + lifetime,
            renew_at=_renew_at(tokens),
            refresh_token=tokens.refresh_token,
            access_token=tokens.access_token if keep_access else "",
            id_token=tokens.id_token if keep_id else "",
        )

    @classmethod
    def of(cls, found: dict[str, Any]) -> Session | None:
        """Return the session that a cookie contains; None if another version of pingap has made it."""
        return cls(**found) if found.keys() == set(cls.__slots__) else None

    def renewed(self, tokens: Tokens, needed: Sequence[str]) -> Session:
        """Return the session with new tokens; its end stays the same."""
        return Session(
            sid=self.sid,
            claims=_kept(tokens.claims, needed) if tokens.claims is not None else self.claims,
            ends_at=self.ends_at,
            renew_at=_renew_at(tokens),
            refresh_token=tokens.refresh_token or self.refresh_token,
            access_token=tokens.access_token if self.access_token else "",
            id_token=(tokens.id_token or self.id_token) if self.id_token else "",
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what the cookie contains."""
        return asdict(self)

    @property
    def has_ended(self) -> bool:
        """Whether the user has to log in again."""
        return time.time() >= self.ends_at

    @property
    def is_due(self) -> bool:
        """Whether the provider has to be asked."""
        return bool(self.renew_at) and time.time() >= self.renew_at


def _kept(claims: Mapping[str, Any], needed: Sequence[str]) -> dict[str, Any]:
    # Under their whole names, so that they are found again by them.
    return {name: found for name in needed if (found := claim(claims, name)) is not None}


def _renew_at(tokens: Tokens) -> float:
    if tokens.lifetime is not None:
        return time.time() + max(tokens.lifetime - RENEW_BEFORE, 1.0)
    if tokens.claims is not None:
        return max(float(tokens.claims["exp"]) - RENEW_BEFORE, time.time() + 1.0)
    return time.time() + 300.0
