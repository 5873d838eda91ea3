"""Several regular expressions as one: a search takes linear time, and hardly more than for a single one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from pingap import Regex

_REGEX: Final[TypeAdapter[Any]] = TypeAdapter(Regex)
_VERBOSE: Final = re.compile(r"\(\?[a-zA-Z]*x")
"""The flag ``x``: a comment would hide the end of the group that we put around an expression."""


def compile_expression(text: str) -> Any:
    """Compile an expression of the configuration, in the syntax of all others there.

    :raises ValueError: it is invalid.
    """
    try:
        return _REGEX.validate_python(text)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


class Expressions:
    """Regular expressions, of which any may be found.

    :param texts: valid expressions.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._patterns = _combined(texts) or [compile_expression(text) for text in texts]

    def find(self, text: str) -> bool:
        """Return whether one of them is found anywhere in a text."""
        return any(pattern.search(text) is not None for pattern in self._patterns)


def _combined(texts: Sequence[str]) -> list[Any]:
    """Return one expression for all; none if they cannot be combined."""
    if len(texts) < 2 or any(_VERBOSE.search(text) for text in texts):
        return []
    try:
        return [compile_expression("|".join(f"(?:{text})" for text in texts))]
    except ValueError:  # the same name for groups of two expressions, or too large
        return []
