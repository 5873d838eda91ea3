"""The certificate authorities that are known by name, and what ``acme`` of a table says about them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

DIRECTORIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "lets_encrypt": "https://acme-v02.api.letsencrypt.org/directory",
        "lets_encrypt_staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
        "zerossl": "https://acme.zerossl.com/v2/DV90",
        "google": "https://dv.acme-v02.api.pki.goog/directory",
    }
)
"""Name of an authority -> the URL of its directory (RFC 8555, 7.1.1)."""
_LETS_ENCRYPT: Final = frozenset(
    {"lets_encrypt", "letsencrypt", "lets-encrypt", "let's encrypt", "true", "yes", "on", "1"}
)
"""pingap 0.13.9 takes any text for Let's Encrypt; these are what people write."""


def directory_urls(text: str) -> tuple[str, ...]:
    """Return the directories that a value of ``acme`` names, the preferred one first.

    :param text: names or URLs, separated by commas.
    :raises ValueError: one of them is neither.
    """
    found = [_directory_url(one.strip()) for one in text.split(",")]
    return tuple(dict.fromkeys(found))


def _directory_url(word: str) -> str:
    if word.lower() in _LETS_ENCRYPT:
        return DIRECTORIES["lets_encrypt"]
    if word.lower() in DIRECTORIES:
        return DIRECTORIES[word.lower()]
    parts = urlsplit(word)
    if parts.scheme == "https" and parts.hostname:
        return word
    if parts.scheme == "http" and parts.hostname:
        raise ValueError(f'acme: "{word}" is not encrypted: expected an https URL')
    nearest = difflib.get_close_matches(word.lower(), DIRECTORIES, 1)
    hint = f'; did you mean "{nearest[0]}"?' if nearest else ""
    names = ", ".join(DIRECTORIES)
    raise ValueError(
        f'acme: "{word}" is no authority that is known: expected one of {names}, or the https URL of a '
        f"directory{hint}"
    )
