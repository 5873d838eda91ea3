"""What ``acme`` may be."""

from __future__ import annotations

import pytest
from pingap_acme.authorities import DIRECTORIES, directory_urls

LETS_ENCRYPT = DIRECTORIES["lets_encrypt"]


@pytest.mark.parametrize("word", ["lets_encrypt", "LetsEncrypt", "let's encrypt", "true", " on "])
def test_lets_encrypt(word: str) -> None:
    assert directory_urls(word) == (LETS_ENCRYPT,)


def test_several() -> None:
    own = "https://ca.example.com:9000/acme/directory"
    assert directory_urls(f"zerossl, {own},ZeroSSL") == (DIRECTORIES["zerossl"], own)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lets_encript", r'did you mean "lets_encrypt"\?'),
        ("http://ca.example.com/directory", "is not encrypted: expected an https URL"),
        ("lets_encrypt,", '"" is no authority that is known: expected one of lets_encrypt, '),
        ("https://", "is no authority that is known"),
        ("false", "is no authority that is known"),
    ],
)
def test_what_is_neither(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        directory_urls(text)
