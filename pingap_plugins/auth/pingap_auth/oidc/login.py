"""A login on its way: what is sent to the provider, and what has to come back (RFC 6749, RFC 7636)."""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlencode

LOGIN_SECONDS: Final = 900.0
"""How long a user may take at the provider."""
MOST_LOGINS: Final = 32
"""Logins of one browser that can be on their way."""
LONGEST_TARGET: Final = 1500
"""Characters of a target to which a login leads back; a longer one leads to ``/``."""


@dataclass(frozen=True, slots=True)
class Login:
    """One login.

    :param target: path and query to which it leads back.
    :param redirect_uri: the callback that was announced to the provider.
    """

    state: str
    nonce: str
    verifier: str
    target: str
    redirect_uri: str
    expires_at: float

    @classmethod
    def begin(cls, target: str, redirect_uri: str) -> Login:
        """Return a new login, with random values that nobody can guess."""
        is_path = target.startswith("/") and target[1:2] not in ("/", "\\")
        return cls(
            state=secrets.token_urlsafe(24),
            nonce=secrets.token_urlsafe(24),
            verifier=secrets.token_urlsafe(48),
            target=target if is_path and len(target) <= LONGEST_TARGET else "/",
            redirect_uri=redirect_uri,
            expires_at=time.time() + LOGIN_SECONDS,
        )

    @classmethod
    def of(cls, found: dict[str, Any], state: str) -> Login | None:
        """Return the login that a cookie contains; None if it is another one, or too old."""
        if found.keys() != set(cls.__slots__):  # made by another version of pingap
            return None
        login = cls(**found)
        if not hmac.compare_digest(login.state.encode(), state.encode()):
            return None
        return login if time.time() < login.expires_at else None

    def as_dict(self) -> dict[str, Any]:
        """Return what a cookie contains."""
        return {name: getattr(self, name) for name in self.__slots__}

    def url(self, endpoint: str, client_id: str, scopes: Sequence[str]) -> str:
        """Return the URL at which the provider asks the user."""
        challenge = base64.urlsafe_b64encode(sha256(self.verifier.encode()).digest())
        parameters = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(scopes),
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": challenge.rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"


def cookie_suffix(state: str) -> str:
    """Return what distinguishes the cookies of several logins at a time, as in several tabs.

    There are ``MOST_LOGINS`` of them: a page that begins logins for ever would otherwise fill the head of
    the request that ends one.
    """
    return f"{sha256(state.encode()).digest()[0] % MOST_LOGINS:02x}"
