"""Authentication schemes that are about a connection, not about a request (RFC 4559, NTLM)."""

from __future__ import annotations

from typing import Final

from pingap.http.messages import Response

CHALLENGES: Final = frozenset((401, 407))
"""Statuses of answers that ask who the client is."""
SCHEMES: Final = (b"ntlm", b"negotiate")
"""What their credentials and challenges begin with, in lower case."""


def asks_to_sign_in(response: Response) -> bool:
    """Return whether an answer (401 or 407) offers to authenticate the connection."""
    return any(
        challenge.strip().lower().startswith(SCHEMES)
        for key in (b"www-authenticate", b"proxy-authenticate")
        for value in response.headers.find_all(key)
        for challenge in value.split(b",")
    )
