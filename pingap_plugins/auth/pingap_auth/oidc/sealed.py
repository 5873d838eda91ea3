"""Encrypted cookies: nobody else can read or change them. The cryptography is that of Fernet."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from pingap import Cookie, Field, Request

SHORTEST_KEY: Final = 32
PIECE: Final = 3600
"""Characters of one cookie; browsers ignore those with more than 4096 bytes."""
MOST_PIECES: Final = 4
LONGEST_TEXT: Final = PIECE * MOST_PIECES
_LARGEST: Final = 64 * 1024


class Sealer:
    """Encrypts values, and decrypts them.

    :param keys: the first one encrypts, all of them decrypt.
    :param purpose: a value that was encrypted for one purpose is invalid for all others.
    :raises ValueError: no key, or one that is shorter than 32 bytes.
    """

    def __init__(self, keys: Sequence[str], purpose: str) -> None:
        if not keys:
            raise ValueError("session_keys is empty")
        for number, key in enumerate(keys):
            if len(key.encode()) < SHORTEST_KEY:
                raise ValueError(
                    f"session_keys[{number}] has fewer than {SHORTEST_KEY} bytes: use the output of "
                    "`openssl rand -hex 32`"
                )
        label = b"pingap.oidc\0" + purpose.encode() + b"\0"
        derived = [sha256(label + key.encode()).digest() for key in keys]
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(one)) for one in derived])

    def seal(self, value: dict[str, Any]) -> str:
        """Return a value as text for a cookie."""
        data = zlib.compress(json.dumps(value, separators=(",", ":")).encode())
        return self._fernet.encrypt(data).decode().rstrip("=")

    def open(self, text: str) -> dict[str, Any] | None:
        """Return a value; None if the text was not made by ``seal`` with one of the keys."""
        if not text or len(text) > LONGEST_TEXT:
            return None
        try:
            data = self._fernet.decrypt(text.encode("latin-1") + b"=" * (-len(text) % 4))
        except InvalidToken:
            return None
        # It is our own, so its size is ours, too; the limit costs nothing.
        found = json.loads(zlib.decompressobj().decompress(data, _LARGEST))
        return found if isinstance(found, dict) else None


class SplitCookie:
    """A cookie that may be longer than browsers allow: it is sent in up to four pieces.

    :param cookie: its name and attributes; further pieces are called ``<name>_1`` and so on.
    """

    def __init__(self, cookie: Cookie) -> None:
        self._pieces = [cookie] + [
            Cookie(
                f"{cookie.name}_{number}",
                path=cookie.path,
                max_age=cookie.max_age,
                secure=cookie.secure,
                http_only=cookie.http_only,
                same_site=cookie.same_site,
            )
            for number in range(1, MOST_PIECES)
        ]
        self.names = [one.name for one in self._pieces]

    def read(self, request: Request) -> str:
        """Return the text; empty without the cookie, or if a piece occurs twice."""
        cookies = request.cookies
        text = ""
        for name in self.names:
            values = cookies.get_all(name)
            if len(values) > 1:
                return ""
            if not values or not values[0]:
                break
            text += values[0]
        return text

    def set(self, text: str) -> list[Field]:
        """Return the fields that set the text, and delete pieces that it does not need.

        :raises ValueError: it is too long.
        """
        parts = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
        if len(parts) > MOST_PIECES:
            raise ValueError("the session is too large for cookies")
        fields = [cookie.set(part) for cookie, part in zip(self._pieces, parts, strict=False)]
        return fields + [cookie.delete() for cookie in self._pieces[len(parts) :]]

    def delete(self) -> list[Field]:
        """Return the fields that delete all pieces."""
        return [cookie.delete() for cookie in self._pieces]
