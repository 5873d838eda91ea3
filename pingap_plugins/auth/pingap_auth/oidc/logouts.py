"""Which sessions were ended: by their users, or by the provider (OpenID Connect Back-Channel Logout 1.0)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from pingap import SharedState, SharedValues
from pingap_auth.identity import fingerprint
from pingap_auth.oidc.provider import ProviderError
from pingap_auth.oidc.session import Session

_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"


class Logouts:
    """The ended sessions of one client, in all workers.

    :param of: the provider and the client.
    :param lifetime: seconds of a session.
    :param follows_provider: whether the provider reports logouts.
    """

    def __init__(self, of: str, lifetime: float, *, follows_provider: bool) -> None:
        self._of, self._lifetime, self._follows = of, lifetime, follows_provider

    def end(self, session: Session, shared: SharedState) -> None:
        """End one session."""
        rest = max(session.ends_at - time.time(), 1.0)
        _ended(shared).set(session.sid, b"", seconds=rest)

    def end_by_token(self, claims: Mapping[str, Any], shared: SharedState) -> None:
        """End the sessions that a logout token names, whose signature and audience were verified.

        A user may log in again: only what began before the token was issued ends, also if it is sent again.

        :raises ProviderError: it is no logout token (section 2.6).
        """
        sid, sub, issued = claims.get("sid"), claims.get("sub"), claims.get("iat")
        events = claims.get("events")
        if not isinstance(events, dict) or not isinstance(events.get(_EVENT), dict):
            raise ProviderError("it is for another event")
        if "nonce" in claims or type(issued) is not int or not 0 < issued < 2**63:
            raise ProviderError("it is not a logout token")
        if sid is not None:  # only this session, also if the user is named
            kind, name = "sid", sid
        else:
            kind, name = "sub", sub
        if not isinstance(name, str) or not name:
            raise ProviderError("it names neither a session nor a user")
        _ended(shared).set(self._key(kind, name), b"%d" % issued, seconds=self._lifetime)

    def has_ended(self, session: Session, shared: SharedState) -> bool:
        """Return whether a session was ended before its time."""
        ended = _ended(shared)
        if ended.get(session.sid) is not None:
            return True
        if not self._follows:
            return False
        sid, sub = session.claims.get("sid"), session.claims["sub"]
        if isinstance(sid, str) and ended.get(self._key("sid", sid)) is not None:
            return True
        issued = ended.get(self._key("sub", sub))
        return issued is not None and int(session.ends_at - self._lifetime) <= int(issued)

    def _key(self, kind: str, name: str) -> str:
        return fingerprint(self._of.encode(), kind.encode(), name.encode("utf-8", "replace"))


def _ended(shared: SharedState) -> SharedValues:
    return shared.values("oidc:ended")
