"""Reads ``Authorization: Basic`` (RFC 7617)."""

from __future__ import annotations

import binascii
import re
from typing import Final

MOST_BYTES: Final = 1024
"""Longest user name and password, together; hashing takes time for each byte."""

_BASIC: Final = re.compile(rb"(?i:basic) +([A-Za-z0-9+/]+)(=*)").fullmatch
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]").search


def basic_credentials(value: bytes) -> bytes | None:
    """Return ``user:password`` from the value of ``Authorization``.

    The scheme is compared without case (RFC 9110, 11.1), and padding may be missing.

    :returns: None if it is malformed, has a control character (RFC 7617, 2), or is too long.
    """
    match = _BASIC(value)
    return decoded_credentials(match[1]) if match is not None else None


def decoded_credentials(text: bytes) -> bytes | None:
    """Return ``user:password`` from base64 with or without padding; None if it is malformed."""
    text = text.rstrip(b"=")
    try:
        found = binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        return None
    if b":" not in found or len(found) > MOST_BYTES or _CONTROL(found):
        return None
    return found


def user_of(credentials: bytes) -> str:
    """Return the user name; bytes that are not UTF-8 are read as Latin-1."""
    name = credentials.partition(b":")[0]
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")
