"""Signed values and signed cookies."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingap import Cookie, Headers, Request, Secret, SignedCookie, Signer
from pingap.http.signing import LONGEST_TEXT, LONGEST_VALUE
from pingap.testing import Clock

OLD, NEW = b"o" * 32, b"n" * 32
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

signer = Signer([NEW], "test")


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(signed: bytes, key: bytes = NEW, purpose: str = "test") -> str:
    """Return a text with the right tag for any content, as only the owner of the key can."""
    derived = hmac.new(key, b"pingap.Signer\0" + purpose.encode(), "sha256").digest()
    return encoded(signed + hmac.new(derived, signed, "sha256").digest())


@given(st.binary(max_size=200))
def test_value_survives_signing(value: bytes) -> None:
    assert signer.verify(signer.sign(value)) == value
    assert signer.verify(signer.sign(value, expires_in=60)) == value


def test_format_stays_as_it_is() -> None:
    """Texts that were signed before an update of pingap are valid after it."""
    assert signer.sign(b"value") == forged(b"\x01" + bytes(8) + b"value")
    assert signer.sign(b"value") == (
        "AQAAAAAAAAAAdmFsdWW4XPypnzB5AdfpgDF91iE3rs353em0YYGNQYPWndDsCQ"
    )


@given(st.binary(max_size=LONGEST_VALUE))
def test_signed_value_can_stand_in_cookies_and_urls(value: bytes) -> None:
    text = signer.sign(value)
    assert set(text) <= set(ALPHABET)
    assert len(text) <= LONGEST_TEXT


def test_size_is_bounded() -> None:
    longest = signer.sign(bytes(LONGEST_VALUE))
    assert len(longest) == LONGEST_TEXT
    assert signer.verify(longest) == bytes(LONGEST_VALUE)
    with pytest.raises(ValueError, match="at most 3031 can be signed"):
        signer.sign(bytes(LONGEST_VALUE + 1))
    assert signer.verify(forged(b"\x01" + bytes(8) + bytes(LONGEST_VALUE + 1))) is None
    assert signer.verify("A" * 10_000_000) is None


# Changes.


def test_no_changed_character_is_overlooked() -> None:
    text = signer.sign(b"value", expires_in=60)
    assert signer.verify(text) == b"value"
    for place, character in enumerate(text):
        for other in f"{ALPHABET}=+/. \n\0é":
            if other != character:
                assert signer.verify(text[:place] + other + text[place + 1 :]) is None


def test_no_changed_bit_is_overlooked() -> None:
    data = urlsafe_b64decode(signer.sign(b"abcd"))  # (of a length without padding)
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        assert signer.verify(encoded(bytes(changed))) is None


def test_pieces_and_additions_are_no_value() -> None:
    text = signer.sign(b"value")
    for size in range(len(text)):
        assert signer.verify(text[:size]) is None
        assert signer.verify(text[size + 1 :]) is None
    for more in ("A", "=", "==", " ", "\n", "AAAA", text):
        assert signer.verify(text + more) is None
        assert signer.verify(more + text) is None


@given(st.text() | st.text(ALPHABET + "+/=", min_size=50))
def test_no_other_text_is_valid(text: str) -> None:
    assert signer.verify(text) is None


@pytest.mark.parametrize("version", [0, 2, 255])
def test_other_versions_are_invalid_even_with_the_right_tag(version: int) -> None:
    assert signer.verify(forged(bytes([version]) + bytes(8) + b"value")) is None


@pytest.mark.parametrize("signed", [b"", b"\x01", b"\x01" + bytes(7)])
def test_content_that_is_too_short_is_invalid_even_with_the_right_tag(signed: bytes) -> None:
    assert signer.verify(forged(signed)) is None


# Purposes and keys.


def test_purpose_is_part_of_the_key() -> None:
    text = Signer([NEW], "login").sign(b"7")
    assert Signer([NEW], "login").verify(text) == b"7"
    for purpose in ("reset", "logi", "login ", "Login"):
        assert Signer([NEW], purpose).verify(text) is None
    assert Signer([OLD], "login").verify(text) is None


def test_first_key_signs_and_all_verify() -> None:
    before, between, after = Signer([OLD], "t"), Signer([NEW, OLD], "t"), Signer([NEW], "t")
    old, new = before.sign(b"1"), between.sign(b"2")
    assert (between.verify(old), between.verify(new)) == (b"1", b"2")
    assert (after.verify(old), after.verify(new)) == (None, b"2")
    assert before.verify(new) is None


def test_key_is_text_bytes_or_a_secret() -> None:
    text = "k" * 32
    signed = Signer([text], "t").sign(b"1")
    assert Signer([text.encode()], "t").verify(signed) == b"1"
    assert Signer([Secret(text)], "t").verify(signed) == b"1"
    assert Signer((NEW, Secret(text)), "t").verify(signed) == b"1"
    assert Signer(["é" * 16], "t").sign(b"1")  # 32 bytes


@pytest.mark.parametrize("key", ["", "x" * 31, b"x" * 31, Secret("x" * 31)])
def test_short_keys_are_refused_and_not_shown(key: Any) -> None:
    with pytest.raises(ValueError, match=r"key 2 has \d+ bytes, expected at least 32") as caught:
        Signer([NEW, key], "t")
    assert "xxx" not in str(caught.value)
    assert "openssl rand -hex 32" in str(caught.value)


@pytest.mark.parametrize("keys", ["x" * 40, b"x" * 40, Secret("x" * 40)])
def test_single_key_is_not_a_list_of_keys(keys: Any) -> None:
    with pytest.raises(TypeError, match="put the key into one"):
        Signer(keys, "t")


def test_other_types_missing_keys_and_purposes_are_refused() -> None:
    with pytest.raises(TypeError, match="key 1 is a int, expected str, bytes or Secret"):
        Signer([7], "t")  # type: ignore[list-item]
    with pytest.raises(ValueError, match="at least one key"):
        Signer([], "t")
    with pytest.raises(ValueError, match="the purpose is empty"):
        Signer([NEW], "")


# Expiry.


def test_value_expires() -> None:
    with Clock() as clock:
        text = signer.sign(b"value", expires_in=60)
        for_ever = signer.sign(b"value")
        clock.advance(59)
        assert signer.verify(text) == b"value"
        clock.advance(1)
        assert signer.verify(text) is None
        clock.advance(10**9)
        assert signer.verify(for_ever) == b"value"


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 101 * 365 * 86400])
def test_invalid_lifetimes_are_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="expected seconds, up to 100 years"):
        signer.sign(b"value", expires_in=seconds)


# Cookies.


def sent_back(field: tuple[bytes, bytes]) -> Request:
    """Return a request with the cookie that a field sets."""
    pair = field[1].decode().removeprefix("Set-Cookie: ").partition(";")[0]
    return Request("GET", "/", Headers({"Cookie": f"first=1; {pair}"}))


def test_signed_cookie_comes_back() -> None:
    session = SignedCookie(Cookie("__Host-session"), [NEW])
    field = session.set(b"user 7\0\xff")
    assert field[1].endswith(b"; Path=/; Secure; HttpOnly; SameSite=Lax")
    assert session.read(sent_back(field)) == b"user 7\0\xff"
    assert session.delete() == Cookie("__Host-session").delete()


def test_signed_cookie_expires_with_its_signature() -> None:
    with Clock() as clock:
        session = SignedCookie(Cookie("session", max_age=60), [NEW])
        field = session.set(b"7")
        assert b"; Max-Age=60;" in field[1]
        request = sent_back(field)
        clock.advance(59)
        assert session.read(request) == b"7"
        clock.advance(1)
        assert session.read(request) is None


def test_signed_cookie_that_is_missing_foreign_or_renamed_is_none() -> None:
    session = SignedCookie(Cookie("session"), [NEW])
    other = SignedCookie(Cookie("other"), [NEW])
    value = sent_back(other.set(b"7")).cookie("other")
    for cookie in (f"other={value}", f"session={value}", "session=", "session", "session=7"):
        assert session.read(Request("GET", "/", Headers({"Cookie": cookie}))) is None
    assert session.read(Request("GET", "/", Headers())) is None
    assert SignedCookie(Cookie("session"), [OLD, NEW]).read(sent_back(session.set(b"7"))) == b"7"


def test_signed_cookie_that_is_too_long_is_refused() -> None:
    session = SignedCookie(Cookie("session"), [NEW])
    with pytest.raises(ValueError, match="cookie session is longer than 4096 bytes"):
        session.set(bytes(LONGEST_VALUE))
    with pytest.raises(ValueError, match="key 1 has 1 bytes"):
        SignedCookie(Cookie("session"), ["x"])
