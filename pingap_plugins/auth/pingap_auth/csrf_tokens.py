"""Tokens against cross-site requests: random, with the time, signed, and bound to a session if there is one."""

from __future__ import annotations

import base64
import hmac
import os
import re
from typing import Final

_TOKEN: Final = re.compile(
    r"([A-Za-z0-9_-]{12,32})\.([0-9a-f]{1,12})\.([A-Za-z0-9_-]{43})"
).fullmatch
_CLOCK: Final = 60
"""Seconds by which the clocks of several machines may differ."""


class CsrfTokens:
    """Issues and checks tokens.

    :param key: signs them.
    :param ttl: seconds for which one is valid; 0: it does not expire.
    """

    def __init__(self, key: bytes, ttl: float) -> None:
        self._key = hmac.digest(key, b"pingap.csrf", "sha256")
        self._ttl = ttl

    def issue(self, session: bytes, now: float) -> str:
        """Return a new token.

        :param session: the value of the session cookie; empty without one.
        """
        head = f"{_text(os.urandom(16))}.{int(now):x}"
        return f"{head}.{self._tag(head, session)}"

    def is_valid(self, token: str, session: bytes, now: float) -> bool:
        """Return whether a token was issued for this session, and is not too old."""
        match = _TOKEN(token)
        if match is None:
            return False
        head, _, tag = token.rpartition(".")
        if not hmac.compare_digest(tag.encode(), self._tag(head, session).encode()):
            return False
        age = now - int(match[2], 16)
        return age >= -_CLOCK and (not self._ttl or age <= self._ttl)

    def _tag(self, head: str, session: bytes) -> str:
        return _text(hmac.digest(self._key, head.encode() + b"\0" + session, "sha256"))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
