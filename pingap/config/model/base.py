"""Shared by the models of all sections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Model(BaseModel):
    """A table of the configuration: immutable, rejects unknown keys, converts no types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    SYNONYMS: ClassVar[dict[str, str]] = {}
    """Other names that keys may be written with -> the keys."""


class Claimable(Model):
    """A table in which plugin distributions can have their own keys, such as ``rewrite``."""

    claimed: dict[str, Any] = Field(
        default_factory=dict,
        repr=False,  # may contain secrets
        description="Not a key of its own: the keys that plugin distributions claim, unchecked.",
    )

    @classmethod
    def owns(cls, key: str) -> bool:
        """Return whether this version supports a key: no distribution can then claim it."""
        field = cls.model_fields.get(key)
        extra = None if field is None else field.json_schema_extra
        return field is not None and not (isinstance(extra, dict) and "not_yet" in extra)


# Strict mode would reject a TOML array for a tuple; the elements stay strict.
Strings = Annotated[tuple[str, ...], Field(strict=False)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
AtLeastOne = Annotated[int, Field(ge=0), AfterValidator(lambda number: max(number, 1))]
"""0 means 1: pingap 0.13.9 treats it so, or the limit could never be reached."""


def not_yet(default: Any, description: str, *, needs: str, absent: Sequence[Any] = ()) -> Any:
    """Declare a key that pingap 0.13.9 has and this version does not support.

    Setting it is a problem, unless its value means the same as omitting it.

    :param needs: the missing feature: the text of ``not supported yet (...)``.
    :param absent: values that mean the same as omitting it, besides the default.
    """
    extra: dict[str, Any] = {"not_yet": needs}
    if absent:
        extra["same_as_absent"] = list(absent)
    return Field(default, description=description, json_schema_extra=extra)


def no_effect(default: Any, description: str, *, why: str) -> Any:
    """Declare a key that is accepted and has no effect in this version.

    Setting it is a warning.

    :param why: the text of the warning, after the key.
    """
    return Field(default, description=description, json_schema_extra={"no_effect": why})
