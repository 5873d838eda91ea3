"""Configuration tables as they may be shown: without secrets.

Secrets are declared by models (``Secret``), both in core tables and in those of plugins; for keys without
a model, the name decides. References to secrets (``$ENV:NAME``) are shown.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from pydantic import BaseModel

from pingap.config.pem_values import PEM_KEYS, pem_path
from pingap.config.secret_keys import (
    HEADER_LISTS,
    annotation_of,
    has_secret,
    is_reference,
    is_secret_header,
    models_in,
    sounds_secret,
)

MASK: Final = "***"

_ALWAYS: Final = {"basic": ("webhook", "sentry")}
"""Keys whose values are URLs that contain a token."""
_USER_INFO: Final = re.compile(r"//[^/@\s]*@")

_CREDENTIALS: Final = re.compile(r"//\S*@")  # (an unencoded password may contain ``/`` and ``@``)
_ASSIGNED: Final = re.compile(
    r"""(?i)([\w-]*(?:password|passwd|pwd|secret|token|api_?key)[\w-]*['"]?\s*[=:]\s*)"""
    r"""('[^']*'|"[^"]*"|[^\s,;&'"]+)"""
)

Models = Collection[type[BaseModel]]


def masked(section: str, key: str, value: Any, models: Models, directory: Path) -> Any:
    """Return the value of a key without secrets.

    :param section: ``basic`` or a section.
    :param models: all models that may have the key.
    :param directory: the base of relative paths.
    """
    if key in PEM_KEYS.get(section, ()) and isinstance(value, str):
        return _fingerprint(value, directory)
    if key in _ALWAYS.get(section, ()):
        return _hidden(value)
    if section == "locations" and key in HEADER_LISTS and isinstance(value, list):
        return [_header(entry) for entry in value]
    return _value(key, value, models)


def redacted(text: str, location: str = "") -> str:
    """Return the text of an error without anything that may be a password.

    :param location: a URL whose user and password are also removed, wherever they occur.
    """
    text = _CREDENTIALS.sub(f"//{MASK}@", text)
    text = _ASSIGNED.sub(rf"\g<1>{MASK}", text)
    for secret in secrets_in(location):
        for written in (secret, unquote(secret)):
            text = text.replace(written, MASK)
    return text


def secrets_in(location: str) -> list[str]:
    """Return user, password and secret parameters of a URL, as they are written in it."""
    address, _, query = location.partition("://")[2].partition("?")
    user_info = address.rpartition("@")[0]
    found = [user_info, user_info.partition(":")[2]]
    for parameter in query.split("&"):
        name, _, value = parameter.partition("=")
        if sounds_secret(name) and not is_reference(value) and name != "key":  # a file
            found.append(value)
    return [secret for secret in found if secret.strip(":")]


def _value(key: str, value: Any, models: Models) -> Any:
    known = [found for model in models if (found := annotation_of(model, key)) is not None]
    if any(map(has_secret, known)) or (not known and sounds_secret(key)):
        return _hidden(value)
    # A key in a table of tables is a name, not a key of a model; keys below it may be.
    below = [model for found in known for model in models_in(found)] if known else models
    return _inside(key, value, below)


def _inside(key: str, value: Any, models: Models) -> Any:
    if isinstance(value, dict):
        return {one: _value(one, value[one], models) for one in value}
    if isinstance(value, list):
        return [_inside(key, one, models) for one in value]
    return _USER_INFO.sub(f"//{MASK}@", value) if isinstance(value, str) else value


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {one: _hidden(value[one]) for one in value}
    if isinstance(value, list):
        return [_hidden(one) for one in value]
    if value == "" or isinstance(value, bool) or (isinstance(value, str) and is_reference(value)):
        return value
    return MASK


def _fingerprint(text: str, directory: Path) -> str:
    """Return the name of a file, or a checksum that distinguishes certificates or keys."""
    path = pem_path(text, directory)
    try:
        if not text or is_reference(text) or (path is not None and path.is_file()):
            return text
    except (OSError, ValueError):  # too long for a file name
        pass
    return crc32(text)


def crc32(text: str) -> str:
    """Return a checksum, which reveals nothing about a text that cannot be guessed."""
    return f"crc32:{zlib.crc32(text.encode(errors='surrogateescape')):08X}"


def _header(entry: Any) -> Any:
    if isinstance(entry, str) and is_secret_header(entry):
        return f"{entry.partition(':')[0]}: {MASK}"
    return entry
