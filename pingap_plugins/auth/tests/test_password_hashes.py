"""Hashes as other programs write them: each is understood, and what is unsafe or endless is refused."""

from __future__ import annotations

import argon2
import bcrypt
import pytest
from passlib.hash import sha256_crypt, sha512_crypt
from pingap_auth.password_hashes import password_check

BCRYPT = "$2b$04$aaaaaaaaaaaaaaaaaaaaauSZTxigf0YGdvl0Fqj.VQW6uFQcav8Fm"
SHA_OF_MKPASSWD = "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"
"""``mkpasswd -m sha-512 password saltsalt``"""

HASHES = {
    "bcrypt": BCRYPT,
    "bcrypt of htpasswd": BCRYPT.replace("$2b$", "$2y$"),
    "argon2id": argon2.PasswordHasher(time_cost=1, memory_cost=64).hash("sesame"),
    "argon2i": argon2.PasswordHasher(
        time_cost=1, memory_cost=64, type=argon2.low_level.Type.I
    ).hash("sesame"),
    "SHA-256-crypt": sha256_crypt.using(rounds=1000).hash("sesame"),
    "SHA-512-crypt": sha512_crypt.using(rounds=1000).hash("sesame"),
    "SHA-512-crypt, 5000 rounds": sha512_crypt.using(rounds=5000).hash("sesame"),
}


@pytest.mark.parametrize("text", HASHES.values(), ids=HASHES)
def test_the_password_fits_and_others_do_not(text: str) -> None:
    check = password_check(text)
    assert check(b"sesame")
    for wrong in (b"", b"Sesame", b"sesame ", b"sesam", text.encode()):
        assert not check(wrong)


def test_a_hash_of_mkpasswd() -> None:
    assert password_check(SHA_OF_MKPASSWD)(b"password")


def test_bytes_beyond_the_72nd_do_not_count_for_bcrypt() -> None:
    """As in every implementation; the library itself refuses such a password."""
    check = password_check(bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode())
    assert check(b"x" * 72 + b"y")
    assert not check(b"x" * 71 + b"y")


@pytest.mark.parametrize("character", ".Oeu")
def test_a_damaged_hash_refuses_and_does_not_fail(character: str) -> None:
    assert not password_check(f"$2b$04${'a' * 21}{character}{'b' * 31}")(b"sesame")
    damaged = HASHES["argon2id"][:-2] + "AA"
    assert not password_check(damaged)(b"sesame")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("$apr1$abc$defghijklmnopqrstuvwx/", "MD5"),
        ("$1$abc$def", "MD5"),
        ("{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "SHA-1"),
        ("sesame", "expected a hash"),
        ("", "expected a hash"),
        ("abJnggxhB/yWI", "expected a hash"),  # the old crypt
        (f"$2b$04${'a' * 21}/{'b' * 31}", "expected a hash"),  # no salt of bcrypt
        (BCRYPT[:-1], "expected a hash"),
        (BCRYPT + "x", "expected a hash"),
        (BCRYPT.replace("$04$", "$17$"), "the cost of the hash is 17"),
        (BCRYPT.replace("$04$", "$31$"), "the cost of the hash is 31"),
        ("$6$rounds=99999999$abc$" + "a" * 86, "the number of rounds of the hash is 99999999"),
        ("$argon2id$v=19$m=99999999,t=1,p=1$YWFhYWFhYWE$YWFhYWFhYWE", "the parameter m"),
        ("$argon2id$v=19$m=64,t=99,p=1$YWFhYWFhYWE$YWFhYWFhYWE", "the parameter t"),
        ("$argon2id$v=99$m=64,t=1,p=1$YWFhYWFhYWE$YWFhYWFhYWE", "expected a hash"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("(", r"\(")) as caught:
        password_check(text)
    assert not text or text not in str(caught.value)
