"""Authentication schemes that apply to a connection instead of a request (RFC 4559, NTLM)."""

from __future__ import annotations

from typing import Final

from pingap.http.response import Response

CHALLENGES: Final = frozenset((401, 407))
"""Statuses of responses that request authentication."""
SCHEMES: Final = (b"ntlm", b"negotiate")
"""The beginnings of their credentials and challenges, in lower case."""


def asks_to_sign_in(response: Response) -> bool:
    """Return whether a response (401 or 407) offers to authenticate the connection."""
    return any(
        challenge.strip().lower().startswith(SCHEMES)
        for key in (b"www-authenticate", b"proxy-authenticate")
        for value in response.headers.find_all(key)
        for challenge in value.split(b",")
    )
