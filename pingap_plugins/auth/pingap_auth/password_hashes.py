"""Hashes of passwords as ``htpasswd``, ``argon2`` and ``mkpasswd`` write them; libraries check them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_MOST_BCRYPT_COST: Final = 16
_MOST_SHA_ROUNDS: Final = 1_000_000
_MOST_ARGON2: Final = {"m": 1024 * 1024, "t": 20, "p": 16}  # KiB, passes, lanes
_BCRYPT_BYTES: Final = 72

# The last character of the salt has two bits that must be 0: the library fails if they are not.
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}").fullmatch
_ARGON2 = re.compile(
    r"\$argon2(?:id|i|d)\$v=19\$(m=[0-9]+,t=[0-9]+,p=[0-9]+)\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+"
).fullmatch
_SHA = re.compile(
    r"\$[56]\$(?:rounds=([0-9]+)\$)?[^$:\n]{0,16}\$(?:[./A-Za-z0-9]{43}|[./A-Za-z0-9]{86})"
).fullmatch

Check = Callable[[bytes], bool]
"""Tells whether a password fits. It takes long: call it in a thread."""


def password_check(text: str) -> Check:
    """Return the check of a hash.

    :raises ValueError: not a supported hash, or one that takes too long; the hash is not in the message.
    """
    if (match := _BCRYPT(text)) is not None:
        _limit("the cost", int(match[1]), _MOST_BCRYPT_COST)
        return lambda password: _bcrypt(password, text)
    if (match := _ARGON2(text)) is not None:
        for pair in match[1].split(","):
            _limit(f"the parameter {pair[0]}", int(pair[2:]), _MOST_ARGON2[pair[0]])
        return lambda password: _argon2(password, text)
    if (match := _SHA(text)) is not None:
        _limit("the number of rounds", int(match[1] or 0), _MOST_SHA_ROUNDS)
        return lambda password: _sha_crypt(password, text)
    raise ValueError(_what_it_is(text))


def _limit(what: str, found: int, most: int) -> None:
    if found > most:
        raise ValueError(f"{what} of the hash is {found}: more than {most} takes too long")


def _what_it_is(text: str) -> str:
    weak = {"$apr1$": "MD5 (apr1)", "$1$": "MD5", "{SHA}": "SHA-1", "{SSHA}": "SHA-1"}
    for prefix, name in weak.items():
        if text.startswith(prefix):
            return f"{name} is not safe for passwords: write the entry with `htpasswd -B`"
    return "expected a hash by bcrypt, argon2 or SHA-crypt, as `htpasswd -B` writes it"


def _bcrypt(password: bytes, text: str) -> bool:
    import bcrypt

    # More bytes do not count; `htpasswd -B` cuts them off as well, and bcrypt 5 refuses them.
    return bcrypt.checkpw(password[:_BCRYPT_BYTES], text.encode())


def _argon2(password: bytes, text: str) -> bool:
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return PasswordHasher().verify(text, password)
    except (VerificationError, InvalidHashError):  # the second for a damaged one
        return False


def _sha_crypt(password: bytes, text: str) -> bool:
    from passlib.hash import (  # type: ignore[import-untyped]
        sha256_crypt,
        sha512_crypt,
    )

    return bool((sha256_crypt if text[1] == "5" else sha512_crypt).verify(password, text))
