"""Values that are PEM, base64 of PEM, or the name of a PEM file."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from pingap.config.references import file_reference

PEM_KEYS: Final = {
    "servers": ("tls_client_ca",),
    "upstreams": ("upstream_ca", "client_cert", "client_key"),
    "certificates": ("tls_cert", "tls_key"),
}
"""The keys of each section that take PEM."""

_BEGIN: Final = "-----BEGIN"
_LONGEST_PATH: Final = 4096


def pem_text(value: str | SecretStr) -> str:
    """Return a value of one of these keys as text."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def pem_path(text: str, directory: Path) -> Path | None:
    """Return the file that a value names, whether or not it exists; None if it is not a file name."""
    if not text or len(text) > _LONGEST_PATH or "\n" in text or "\0" in text or _BEGIN in text:
        return None
    if (path := file_reference(text)) is not None:
        return directory / path
    try:
        if _BEGIN.encode() in base64.b64decode("".join(text.split()), validate=True):
            return None
    except (binascii.Error, ValueError):
        pass
    try:
        return directory / Path(text).expanduser()
    except RuntimeError:  # the user has no home directory
        return None
