"""Secrets in plain text in the configuration. Their values are never shown.

A key contains a secret if its model declares so (``SecretStr``), or if its name suggests it. Values are
judged as written, before references are resolved.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from pingap.build.runtime import Runtime
from pingap.config import SECTIONS, BasicConfig
from pingap.config.environment import has_environment
from pingap.config.problem import KeyPath
from pingap.config.secret_keys import (
    HEADER_LISTS,
    annotation_of,
    has_secret,
    is_reference,
    is_secret_header,
    sounds_secret,
)
from pingap.inspection.finding import Finding

_KEYS = ("tls_key", "client_key")
"""Keys for private keys, whose values may be file names."""

_FIX = "write $ENV:NAME or file:PATH, and keep the secret there"
_NAME_FIX = "write $ENV:NAME, and keep the secret there; or let only pingap read this file"
_HEADER_FIX = "write ${NAME}, and put the value into the environment variable NAME"

_MESSAGES = {
    _FIX: "contains a secret in plain text",
    _NAME_FIX: "looks like a secret in plain text",
    _HEADER_FIX: "sends a secret in plain text",
}


def secrets_in_clear(runtime: Runtime) -> Iterator[Finding]:
    """``clear-secret``: a secret that every reader of the file can read."""
    for document in runtime.config.source.documents:
        for path, table, models in _tables(document.data, runtime):
            for key, value in table.items():
                fix = _fix_of(path, key, value, models)
                if fix is not None:
                    yield Finding(
                        "clear-secret", document.problem((*path, key), _MESSAGES[fix]), fix
                    )


def _tables(
    data: dict[str, Any], runtime: Runtime
) -> Iterator[tuple[KeyPath, dict[str, Any], list[type[BaseModel]]]]:
    """Yield every table with the models that know its keys."""
    classes: dict[KeyPath, list[type[BaseModel]]] = {}
    for one in runtime.plugins:
        path = runtime.claimed.get(one.name, ("plugins", one.name, ""))[:-1]
        classes.setdefault(path, []).append(type(one.plugin).Settings)
    for section, content in data.items():
        if section == "basic":
            yield (section,), content, [BasicConfig, *classes.get((section,), ())]
            continue
        for name, table in content.items():
            own = [] if section == "plugins" else [SECTIONS[section]]
            yield (section, name), table, [*own, *classes.get((section, name), ())]


def _fix_of(path: KeyPath, key: str, value: Any, models: list[type[BaseModel]]) -> str | None:
    if path[0] == "storages" and key == "value":
        return None  # lines of TOML, which are only secret because they may contain secrets
    if key in HEADER_LISTS and isinstance(value, list):
        return _HEADER_FIX if any(map(_is_clear_header, map(str, value))) else None
    declared = any(has_secret(annotation_of(model, key)) for model in models)
    if not declared and not sounds_secret(key):
        return None
    if key in _KEYS and _names_a_file(str(value)):
        return None
    if not any(_is_clear(text) for text in _texts(value)):
        return None
    return _FIX if declared else _NAME_FIX


def _names_a_file(text: str) -> bool:
    """Return whether a value is a file name rather than PEM or base64, which contain no dots."""
    return "\n" not in text and (text.startswith(("/", "~")) or "." in text)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _is_clear_header(entry: str) -> bool:
    return is_secret_header(entry) and not has_environment(entry)


def _is_clear(text: str) -> bool:
    return bool(text) and not is_reference(text) and not has_environment(text)
