"""Refuses requests by ``User-Agent``."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from pingap_restriction.expressions import Expressions, compile_expression
from pingap_restriction.field_lists import FieldListSettings, FieldRestriction


def _check_expression(text: str) -> str:
    if not text:
        raise ValueError("an empty expression is found in every text")
    compile_expression(text)
    return text


Expression = Annotated[
    str,
    AfterValidator(_check_expression),
    WithJsonSchema({"type": "string", "format": "pingap-regex"}),
]


class UaRestriction(FieldRestriction):
    """Refuses requests by ``User-Agent``, which clients choose freely."""

    category = "ua_restriction"
    field_key = b"user-agent"
    reads_headers = ("user-agent",)

    class Settings(FieldListSettings):
        """Settings of ``ua_restriction``."""

        ua_list: Annotated[tuple[Expression, ...], Field(strict=False)] = ()
        """Regular expressions, of which one is found anywhere in ``User-Agent``; they are case-sensitive unless
        they begin with ``(?i)``."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, settings.ua_list, Expressions(settings.ua_list).find)
