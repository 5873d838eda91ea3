"""Refuses requests that lack a header, or have one that they must not have."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import Field, PlainValidator, WithJsonSchema

from pingap import Request, Response, hookimpl
from pingap_restriction.expressions import compile_expression
from pingap_restriction.field_values import members, values_like, values_of
from pingap_restriction.refusals import RefusalSettings, Restriction

_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_OF_ONE_HOP: Final = frozenset(
    (
        *("connection", "content-length", "keep-alive", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    )
)
"""Names that say nothing about a request: they are different over HTTP/2, or gone before plugins run."""


class Condition:
    """An entry of a list: a name, and perhaps a value.

    :param text: ``Name``, ``Name: value``, or ``Name: ~expression``.
    :raises ValueError: it is none of these.
    """

    def __init__(self, text: str) -> None:
        name, colon, value = text.partition(":")
        name, value = name.strip().lower(), value.strip()
        if not _NAME.fullmatch(name):
            raise ValueError(f'"{text}" is not a header: expected "Name" or "Name: value"')
        if name in _OF_ONE_HOP:
            raise ValueError(f"{name} belongs to one connection, and is not seen by plugins")
        if colon and not value:
            raise ValueError(f'"{text}" has no value behind the colon')
        self.text = text
        self._key = name.encode()
        self._similar = name.replace("_", "-").encode()
        self._matches = _matcher(value) if value else None

    def is_met(self, request: Request) -> bool:
        """Return whether a request has the header, with the value on each of its lines."""
        values = values_of(request.headers, self._key)
        if self._matches is None:
            return any(values)
        # Nor may a similar name bring the upstream another value.
        return bool(values) and all(map(self._matches, values_like(request.headers, self._similar)))

    def is_violated(self, request: Request) -> bool:
        """Return whether an upstream may find the header, with the value in any part of it."""
        values = values_like(request.headers, self._similar)
        if self._matches is None or not values:
            return bool(values)
        return any(map(self._matches, [*values, ", ".join(values), *members(values)]))

    def __str__(self) -> str:
        return self.text


def _matcher(value: str) -> Callable[[str], bool]:
    if not value.startswith("~"):
        return value.__eq__
    search = compile_expression(value[1:].strip()).search
    return lambda text: search(text) is not None


def _read_condition(value: object) -> Condition:
    if isinstance(value, Condition):
        return value
    if not isinstance(value, str):
        raise ValueError("expected a header as text")  # noqa: TRY004 - pydantic reports a ValueError
    return Condition(value)


Conditions = Annotated[
    tuple[
        Annotated[Any, PlainValidator(_read_condition), WithJsonSchema({"type": "string"})],
        ...,
    ],
    Field(strict=False),
]


class HeaderRestriction(Restriction):
    """Refuses requests that lack a header, or have one that they must not have.

    A plugin that pingap does not have.
    """

    category = "header_restriction"

    class Settings(RefusalSettings):
        """Settings of ``header_restriction``."""

        required: Conditions = ()
        """Headers that each request must have: ``Name``, ``Name: value``, or ``Name: ~expression``."""
        forbidden: Conditions = ()
        """Headers that no request may have, in the same form."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._required: tuple[Condition, ...] = settings.required
        self._forbidden: tuple[Condition, ...] = settings.forbidden
        if not self._required and not self._forbidden:
            raise ValueError("refuses nothing: set required or forbidden")

    @hookimpl
    def request(self, request: Request) -> Response | None:
        """Refuse the request, or let it pass."""
        for condition in self._required:
            if not condition.is_met(request):
                return self.refuse()
        for condition in self._forbidden:
            if condition.is_violated(request):
                return self.refuse()
        return None
