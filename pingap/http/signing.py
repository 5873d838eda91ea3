"""Signed values, which clients can store and read, but not change. Nothing is encrypted."""

from __future__ import annotations

import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Final, TypeAlias

from pydantic import SecretStr

SigningKey: TypeAlias = str | bytes | SecretStr
"""A key: bytes, text that is encoded as UTF-8, or a ``Secret`` of the settings."""

SHORTEST_KEY: Final = 32
"""Minimum length of a key in bytes: that of the hash (RFC 2104, 3)."""
LONGEST_TEXT: Final = 4096
"""Maximum length of a signed value: that of a cookie."""
_LONGEST_LIFE: Final = 100 * 365 * 86400
"""Seconds."""

# A signed value is base64url, without padding, of: version, expiry, value, tag. The tag is the HMAC-SHA256 of
# everything before it; the expiry is in milliseconds of Unix time, 0 for never.
_VERSION: Final = b"\x01"
_HEAD_BYTES: Final = 9
_TAG_BYTES: Final = 32
LONGEST_VALUE: Final = LONGEST_TEXT * 3 // 4 - _HEAD_BYTES - _TAG_BYTES
"""Maximum number of bytes that can be signed."""


class Signer:
    """Signs values that clients store for a while: in cookies, links or forms (HMAC-SHA256).

    A value is not encrypted, and it is valid for everyone who has it, any number of times, until it
    expires. To change the key, put the new one in front, and remove the old one when everything
    signed with it has expired.

    :param keys: the first one signs, all of them verify.
    :param purpose: the purpose of the values, beginning with the category of the plugin. A value signed for
        one purpose is invalid for all others.
    :raises TypeError: a key of another type, or a single one instead of a list.
    :raises ValueError: no key, a key shorter than 32 bytes, or no purpose.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[SigningKey], purpose: str) -> None:
        if isinstance(keys, SigningKey):
            raise TypeError("keys is a list, for rotation: put the key into one")
        if not keys:
            raise ValueError("at least one key is needed")
        if not purpose:
            raise ValueError("the purpose is empty")
        label = b"pingap.Signer\0" + purpose.encode()
        self._keys = [
            hmac.digest(_key_bytes(key, number), label, "sha256")
            for number, key in enumerate(keys, 1)
        ]

    def sign(self, value: bytes, *, expires_in: float | None = None) -> str:
        """Return a value with its signature: text that can be used unchanged in a cookie or a URL.

        :param expires_in: seconds for which it is valid; None: it does not expire.
        :raises ValueError: a value of more than 3031 bytes (4096 characters of text), or
            ``expires_in`` is not above 0, or above 100 years.
        """
        if len(value) > LONGEST_VALUE:
            raise ValueError(
                f"a value of {len(value)} bytes: at most {LONGEST_VALUE} can be signed"
            )
        end = 0
        if expires_in is not None:
            if not 0 < expires_in <= _LONGEST_LIFE:
                raise ValueError(f"expires_in = {expires_in!r}: expected seconds, up to 100 years")
            end = int((time.time() + expires_in) * 1000)
        signed = _VERSION + end.to_bytes(8, "big") + value
        return _encoded(signed + hmac.digest(self._keys[0], signed, "sha256"))

    def verify(self, text: str) -> bytes | None:
        """Return the signed value; None if the text is invalid or has expired."""
        data = _decoded(text)
        if len(data) < _HEAD_BYTES + _TAG_BYTES:
            return None
        signed, tag = data[:-_TAG_BYTES], data[-_TAG_BYTES:]
        # A list: every key is tried, so that the time does not depend on which one matches.
        fits = [hmac.compare_digest(tag, hmac.digest(key, signed, "sha256")) for key in self._keys]
        if not any(fits) or not signed.startswith(_VERSION):
            return None
        end = int.from_bytes(signed[1:_HEAD_BYTES], "big")
        return None if end and end <= time.time() * 1000 else signed[_HEAD_BYTES:]


def _key_bytes(key: object, number: int) -> bytes:
    if isinstance(key, SecretStr):
        key = key.get_secret_value()
    if isinstance(key, str):
        key = key.encode()
    if not isinstance(key, bytes):
        raise TypeError(f"key {number} is a {type(key).__name__}, expected str, bytes or Secret")
    if len(key) < SHORTEST_KEY:
        raise ValueError(
            f"key {number} has {len(key)} bytes, expected at least {SHORTEST_KEY}: "
            "use the output of `openssl rand -hex 32`"
        )
    return key


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    """Return the bytes of a text; empty if it is too long or not in the form that ``_encoded`` produces."""
    if len(text) > LONGEST_TEXT:
        return b""
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:  # also for characters beyond ASCII
        return b""
    # The decoder skips foreign characters and ignores spare bits, so one value would have many texts.
    return data if _encoded(data) == text else b""
