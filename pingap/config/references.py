"""Values that refer to the content of a file: ``file:PATH``, or ``$FILE:PATH`` as in later versions of pingap."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_PREFIXES: Final = ("file:", "$FILE:")


def file_reference(text: str) -> str | None:
    """Return the path that a value refers to, as written; None if it is not a reference."""
    for prefix in _PREFIXES:
        if text.startswith(prefix):
            return text.removeprefix(prefix)
    return None


def absolute_path(text: str) -> Path:
    """Return the absolute path; ``~`` of an unknown user is kept, as in a shell."""
    return expanded(text).absolute()


def expanded(text: str) -> Path:
    """Return the path with the home directory in place of ``~``; that of an unknown user is kept."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path raises an error for it
