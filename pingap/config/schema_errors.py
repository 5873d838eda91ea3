"""Converts pydantic's errors to problems for the operator.

Used for the core's own tables and for plugin settings. A value is shown unless its field is a ``Secret``
or ``SecretStr``; the text of a ``ValueError`` from a plugin's validator is shown unchanged.
"""

from __future__ import annotations

import re
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from pingap.config.model.base import Model
from pingap.config.not_included import not_included
from pingap.config.problem import KeyPath, Problem, did_you_mean, shown
from pingap.config.source import Source

_NO_KEYS = ("claimed", "options")  # fields of our models
_SHORT_LIST = 60  # maximum length of a list of known keys, shown if none is similar

_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "an array",
    "tuple_type": "an array",
    "set_type": "an array",
    "frozen_set_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dataclass_type": "a table",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "string_too_short": "at least {min_length} character(s)",
    "string_too_long": "at most {max_length} character(s)",
    "string_pattern_mismatch": "text that matches {pattern}",
    "too_short": "at least {min_length} element(s)",
    "too_long": "at most {max_length} element(s)",
    "expected": "{expected}",  # units
    "literal_error": "one of {words}",
    "enum": "one of {words}",
}
_PYDANTIC_WORDING = re.compile(r"(?:Input|Value|URL input) should (?:be )?")


def problems_from(
    error: ValidationError,
    prefix: KeyPath,
    source: Source,
    model: type[BaseModel] | None = None,
) -> list[Problem]:
    """Yield a problem for each key that pydantic rejected.

    :param error: the exception of ``model``.
    :param prefix: the path of the table that was validated: ``("plugins", "ping")``.
    :param source: finds the file and the line.
    :param model: the model of that table; without it, there are no suggestions for unknown keys.
    """
    wordings: dict[KeyPath, _Wording] = {}
    for details in error.errors(include_url=False):
        place = _Place(model, details["loc"])
        wordings.setdefault(place.path, _Wording()).add(details, place)
    return [source.problem((*prefix, *path), words.text()) for path, words in wordings.items()]


class _Wording:
    """The message for one key. A union gives an error per alternative; they are merged."""

    def __init__(self) -> None:
        self.found = ""
        self.expected: list[str] = []
        self.whole: list[str] = []
        self.hint = ""

    def add(self, details: ErrorDetails, place: _Place) -> None:
        kind, context = details["type"], details.get("ctx", {})
        if kind in ("value_error", "assertion_error"):
            self._add_once(self.whole, str(context["error"]))
        elif kind == "missing":
            self._add_once(self.whole, "this key is required")
        elif kind == "extra_forbidden":
            self._add_once(self.whole, f"unknown key{place.near_key()}")
        else:
            self.found = "" if place.secret else f"found {shown(details['input'])}, "
            self._add_once(self.expected, _expectation(details, context))
            if kind in ("literal_error", "enum") and not place.secret:
                self.hint = did_you_mean(str(details["input"]), _words(context))

    def _add_once(self, texts: list[str], text: str) -> None:
        if text not in texts:
            texts.append(text)

    def text(self) -> str:
        texts = list(self.whole)
        if self.expected:
            texts.append(f"{self.found}expected {' or '.join(self.expected)}{self.hint}")
        return "; ".join(texts)


def _expectation(details: ErrorDetails, context: dict[str, Any]) -> str:
    template = _EXPECTED.get(details["type"])
    if template is None:
        return _PYDANTIC_WORDING.sub("", details["msg"], count=1)
    plain = template.format_map({**context, "words": ", ".join(_words(context))})
    return re.sub(r"\(s\)", "" if plain.startswith(("at least 1 ", "at most 1 ")) else "s", plain)


def _words(context: dict[str, Any]) -> list[str]:
    expected = str(context.get("expected", ""))
    # An empty word means none, and is not listed.
    return re.findall(r"'([^']+)'", expected.replace("''", "")) or re.split(r", | or ", expected)


class _Place:
    """Follows the location of an error through the model: its key path, its table, its secrecy."""

    def __init__(self, model: type[BaseModel] | None, location: tuple[str | int, ...]) -> None:
        self.path: KeyPath = ()
        self.secret = False
        self.table: type[BaseModel] | None = model  # the innermost model on the way
        here: Any = model
        for key in location:
            here, is_key = self._step(here, key)
            if is_key:
                self.path = (*self.path, key)
            self.secret = self.secret or _is_secret(here)

    def _step(self, here: Any, key: str | int) -> tuple[Any, bool]:
        """Return the annotation below ``key``, and whether ``key`` is a key or only names an alternative."""
        here = _unwrapped(here)
        if get_origin(here) in (Union, UnionType):
            return None, False
        if key == "[key]":
            return None, False
        if isinstance(here, type) and issubclass(here, BaseModel):
            self.table = here
            return _field_annotation(here, str(key)), True
        arguments = get_args(here)
        return (_element(here, arguments) if arguments else None), True

    def near_key(self) -> str:
        """Return the hint that follows ``unknown key``."""
        if self.table is None:
            return ""
        if cure := getattr(self.table, "ELSEWHERE", {}).get(self.path[-1]):
            return f"; {cure}"
        if hint := not_included(str(self.path[-1])):
            return hint
        known = _known_keys(self.table)
        if hint := did_you_mean(str(self.path[-1]), known):
            return hint
        listed = ", ".join(known)
        return f" (known keys: {listed})" if known and len(listed) <= _SHORT_LIST else ""


def _known_keys(model: type[BaseModel]) -> list[str]:
    ours = _NO_KEYS if issubclass(model, Model) else ()
    return [field.alias or name for name, field in model.model_fields.items() if name not in ours]


def _field_annotation(model: type[BaseModel], key: str) -> Any:
    for name, field in model.model_fields.items():
        if key in (name, field.alias):
            return field.annotation
    return None


def _unwrapped(annotation: Any) -> Any:
    """Remove ``Annotated`` and, if only one type is left, ``| None``."""
    while True:
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            annotation = arguments[0]
        elif origin in (Union, UnionType):
            others = [argument for argument in arguments if argument is not type(None)]
            if len(others) != 1:
                return annotation
            annotation = others[0]
        else:
            return annotation


def _element(annotation: Any, arguments: tuple[Any, ...]) -> Any:
    """Return the type of an array element, or of a value of a table."""
    last = arguments[-1]
    return arguments[0] if last is Ellipsis else last


def _is_secret(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, SecretStr | SecretBytes):
        return True
    return any(_is_secret(argument) for argument in get_args(annotation))
