"""Values that refer to the text of a file: ``file:PATH``, or ``$FILE:PATH`` as later pingaps write it."""

from __future__ import annotations

from typing import Final

_PREFIXES: Final = ("file:", "$FILE:")


def file_reference(text: str) -> str | None:
    """Return the path that a value refers to, as it is written; None if it is no reference."""
    for prefix in _PREFIXES:
        if text.startswith(prefix):
            return text.removeprefix(prefix)
    return None
