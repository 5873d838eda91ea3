"""Encrypted values of ``[storages.<name>]``, in the format of pingap 0.13.9.

AES-256-GCM-SIV (RFC 8452), base64. The key is the secret, cut to 32 bytes or filled up with zeros. The nonce is
always the same, which this mode is made for: whoever reads two values learns whether they are equal, and nothing else.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

_NONCE: Final = b"pingap nonce"
_KEY_SIZE: Final = 32


def seal(secret: str, text: str) -> str:
    """Return a text encrypted.

    :raises ValueError: encryption is not available.
    """
    return base64.b64encode(_cipher(secret).encrypt(_NONCE, text.encode(), None)).decode()


def unseal(secret: str, value: str) -> str:
    """Return the text of an encrypted value.

    :raises ValueError: it was not encrypted with this secret, or encryption is not available.
    """
    cipher = _cipher(secret)
    try:
        data = base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("expected an encrypted value: it is not base64") from None
    from cryptography.exceptions import InvalidTag

    try:
        return cipher.decrypt(_NONCE, data, None).decode()
    except (InvalidTag, ValueError):  # too short, or not UTF-8
        raise ValueError("it was not encrypted with this secret") from None


def _cipher(secret: str) -> AESGCMSIV:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
    except ImportError:
        text = "needs the package cryptography: pip install 'pingap[tls]'"
        raise ValueError(text) from None
    try:
        return AESGCMSIV(secret.encode()[:_KEY_SIZE].ljust(_KEY_SIZE, b"\0"))
    except UnsupportedAlgorithm:
        raise ValueError("needs a package cryptography with OpenSSL 3.2 or newer") from None
