"""The base of classes that are types of settings, made from text."""

from __future__ import annotations

from typing import Any, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class TextKind:
    """A class whose objects are made from a text in TOML, and are that text again in dumps."""

    @classmethod
    def _read(cls, value: object) -> Self:
        """Make it.

        :raises ValueError: with a message for the operator.
        """
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                str, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )
