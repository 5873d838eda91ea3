"""Sets of media types, as operators write them. Nothing here does IO."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_PATTERN: Final = re.compile(r"\*/\*|[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+*-]+")


def check_type(text: str) -> str:
    """Return a pattern for media types in lower case.

    :raises ValueError: it is none.
    """
    if not _PATTERN.fullmatch(text.lower()):
        raise ValueError(f'found "{text}", expected a media type such as "text/*" or "font/ttf"')
    return text.lower()


class MediaTypes:
    """A set of media types.

    :param patterns: types in lower case, in whose second half ``*`` stands for anything.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        exact = [re.escape(one).replace(r"\*", r"[^;,\s]*") for one in patterns]
        # (A suffix such as ";charset=utf-8" does not matter.)
        self._match = re.compile(rf"\s*(?:{'|'.join(exact)})\s*(?:;|$)", re.IGNORECASE).match

    def __contains__(self, content_type: str | None) -> bool:
        """Return whether the value of ``Content-Type`` is one of them."""
        return content_type is not None and self._match(content_type) is not None
