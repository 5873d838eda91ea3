"""Text with variables, compiled when the configuration is loaded.

A whole value is ``$name``, ``${name}`` or ``:key``; inside other text, a variable needs braces. ``prefix-$host`` is
plain text, as in pingap 0.13.9.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final, Self

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from pingap.config.text_kind import TextKind
from pingap.config.units import wrong_type
from pingap.config.variables import (
    CONTEXT_KEYS,
    Lookup,
    UnknownVariableError,
    context_lookup,
    find_variable,
    is_variable,
)
from pingap.http.context import RequestContext
from pingap.http.request import Request

_WHOLE: Final = re.compile(r"\$([A-Za-z_][A-Za-z0-9_-]*)|:([a-z][a-z0-9_]*)")
_BRACED: Final = re.compile(r"(\$?)\$\{([A-Za-z_][A-Za-z0-9_-]*)\}")
_BARE: Final = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)|(?<![A-Za-z0-9_/:]):([a-z]+_[a-z0-9_]+)")
"""What looks like a variable inside other text."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]+")


class Template(TextKind):
    """Text with variables, such as ``https://www.${host}${request_uri}``.

    It is the type of a setting, too: ``to: Template`` takes text. Variables without a value are empty; all of them
    are listed in the manual (Configuration, "Headers and variables").

    :param text: as written in the configuration. ``$${name}`` stands for the text ``${name}``.
    :raises ValueError: an unknown variable; the message has the nearest known name.

    .. versionadded:: 1.1
    """

    def __init__(self, text: str) -> None:
        self.text = text
        """As written."""
        self.names: tuple[str, ...] = ()
        """The variables in it."""
        self.lookup: Lookup | None = None
        """Finds the text for a request; None if it is constant."""
        self.constant = text
        """The text, if it is constant."""
        if match := _WHOLE.fullmatch(text):
            if (key := match[2]) is not None:
                self.names, self.lookup = (key,), context_lookup(key)
            else:
                self._use(_merged([_value_of(match[1])]), (match[1],))
        elif "${" in text:
            parts = list(_parts(text))
            names = (match[2] for match in _BRACED.finditer(text) if not match[1])
            self._use(_merged(parts), tuple(names))

    def _use(self, parts: list[str | Lookup], names: tuple[str, ...]) -> None:
        self.names = names
        if len(parts) > 1:
            self._parts = tuple(parts)
            self.lookup = self._joined
        elif parts and not isinstance(parts[0], str):
            self.lookup = parts[0]
        else:
            self.constant = parts[0] if parts and isinstance(parts[0], str) else ""

    def _joined(self, request: Request, ctx: RequestContext) -> str:
        return "".join(
            [one if isinstance(one, str) else one(request, ctx) or "" for one in self._parts]
        )

    @property
    def literal_variable(self) -> str:
        """Text that is sent literally although it looks like a variable; empty if there is none."""
        if _WHOLE.fullmatch(self.text):
            return ""
        for match in _BARE.finditer(_BRACED.sub(" ", self.text)):
            if match[2] in CONTEXT_KEYS or is_variable(match[1] or "") or match[1] in os.environ:
                return match[0]
        return ""

    def expand(self, request: Request, ctx: RequestContext) -> str | None:
        """Return the text for this request, without control characters; None if it is empty."""
        if self.lookup is None:
            return self.constant
        value = self.lookup(request, ctx)
        if not value:
            return None
        return value if value.isprintable() else _CONTROL.sub(" ", value)

    def __repr__(self) -> str:
        return f"Template({self.text!r})"

    def __str__(self) -> str:
        return self.text

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "string",
            "format": "pingap-template",
            "description": "Text that may contain ${variables}.",
            "examples": ["https://www.${host}${request_uri}"],
        }

    @classmethod
    def _read(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise wrong_type(value, "a text")
        made = cls(value)
        if literal := made.literal_variable:
            name = literal.lstrip("$:")
            raise ValueError(f"{literal} is plain text inside other text: write ${{{name}}}")
        return made


def _value_of(name: str) -> str | Lookup:
    """Return the lookup of ``$name``, or its value; upper and lower case may be of the environment."""
    try:
        return find_variable(name)
    except UnknownVariableError:
        if name in os.environ:
            return os.environ[name]
        raise


def _parts(text: str) -> Iterator[str | Lookup]:
    """Yield literal text and lookups.

    Variables of the environment were replaced when the configuration was loaded: what is left in upper case is a
    group, or plain text.
    """
    at = 0
    for match in _BRACED.finditer(text):
        yield text[at : match.start()]
        at = match.end()
        escaped, name = match.groups()
        if escaped:
            yield match[0][1:]
        elif name.isupper() and not is_variable(name):
            yield match[0]
        else:
            yield find_variable(name)
    yield text[at:]


def _merged(parts: list[str | Lookup]) -> list[str | Lookup]:
    """Join neighbouring texts, and drop empty ones."""
    merged: list[str | Lookup] = []
    for one in parts:
        if isinstance(one, str) and merged and isinstance(merged[-1], str):
            merged[-1] += one
        elif one != "":
            merged.append(one)
    return merged
