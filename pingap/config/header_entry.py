"""A header as the configuration writes it: ``Name: value``."""

from __future__ import annotations

from typing import Self

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from pingap.config.template import Template
from pingap.config.text_kind import TextKind
from pingap.config.units import wrong_type
from pingap.http.context import RequestContext
from pingap.http.headers import Field, Headers, field, header_key
from pingap.http.request import Request


class HeaderEntry(TextKind):
    """A configured header ``Name: value``, checked and encoded when configuration is loaded.

    It is the type of a setting, too: ``headers: list[HeaderEntry] = []`` takes an array of such text.

    :param text: as written in the configuration.
    :raises ValueError: no colon, a bad name or value, an unknown variable.
    """

    def __init__(self, text: str) -> None:
        name, colon, value = text.partition(":")
        if not colon:
            raise ValueError(f'{text!r} is not a header: expected "Name: value"')
        self.name = name.strip()
        self.key = header_key(self.name)
        self.value = Template(value.strip())
        self._constant = field(self.name, self.value.constant)
        self._is_constant = self.value.lookup is None

    def field(self, request: Request, ctx: RequestContext) -> Field | None:
        """Return the field for this request; None if its variable has no value."""
        if self._is_constant:
            return self._constant
        value = self.value.expand(request, ctx)
        return None if value is None else field(self.name, value)

    def __str__(self) -> str:
        return f"{self.name}: {self.value.text}"

    def __repr__(self) -> str:
        return f"HeaderEntry({str(self)!r})"

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "string",
            "format": "pingap-header",
            "description": "A header as Name: value; the value may contain ${variables}.",
            "examples": ["X-Served-By: pingap", "X-Request-Id: $request_id"],
        }

    @classmethod
    def _read(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise wrong_type(value, 'a header such as "Name: value"')
        return cls(value)

    @property
    def constant(self) -> Field | None:
        """The field, if it is the same for every request."""
        return self._constant if self._is_constant else None

    def set(self, headers: Headers, request: Request, ctx: RequestContext) -> None:
        """Replace the fields with this name; without a value they are removed.

        Otherwise a client could supply the missing value.
        """
        if (prepared := self.field(request, ctx)) is not None:
            headers.replace(prepared)
        else:
            headers.remove(self.name)

    def add(self, headers: Headers, request: Request, ctx: RequestContext) -> None:
        """Append a field, unless the variable has no value."""
        if (prepared := self.field(request, ctx)) is not None:
            headers.append(prepared)
