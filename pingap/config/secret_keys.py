"""Decides which keys of a table contain secrets: by their model, or else by their names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, SecretBytes, SecretStr

from pingap.config.environment import is_environment
from pingap.config.references import file_reference

HEADER_LISTS = ("proxy_set_headers", "proxy_add_headers")
"""Keys of locations that list headers, whose values may be secrets."""

_NAME = re.compile(
    r"(?:.*[_-])?(?:passw(?:or)?d|secret|token|(?:api|private|secret)?key)s?", re.IGNORECASE
)
_HEADERS = re.compile(r"(?:proxy-)?authorization|.*(?:api-?key|token|secret).*", re.IGNORECASE)


def sounds_secret(key: str) -> bool:
    """Return whether the name of a key suggests a secret; used where there is no model."""
    return _NAME.fullmatch(key) is not None and not key.startswith("public")


def is_reference(text: str) -> bool:
    """Return whether a text refers to a secret instead of containing it."""
    return is_environment(text) or file_reference(text) is not None


def is_secret_header(entry: str) -> bool:
    """Return whether an entry ``Name: value`` contains a secret."""
    name, _, value = entry.partition(":")
    return _HEADERS.fullmatch(name.strip()) is not None and not value.strip().startswith(("$", ":"))


def annotation_of(model: type[BaseModel], key: str) -> Any:
    """Return the type of a key; ``None`` if the model does not have it."""
    for name, field in model.model_fields.items():
        if key in (name, field.alias):
            return field.annotation
    return None


def has_secret(annotation: Any) -> bool:
    """Return whether a type is a secret or contains one outside of a nested table."""
    if isinstance(annotation, type) and issubclass(annotation, SecretStr | SecretBytes):
        return True
    return any(has_secret(argument) for argument in get_args(annotation))


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models of the tables that a type may contain."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)
