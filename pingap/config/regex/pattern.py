"""Compiled expressions of both engines, with one interface."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import re2

Match: TypeAlias = "re.Match[str] | re2._Match[str]"
"""A match, with ``group``, ``groups``, ``groupdict``, ``start``, ``end`` and ``expand``."""


class LinearPattern:
    """An expression that RE2 matches in linear time.

    :param compiled: the expression as compiled by RE2.
    """

    __slots__ = ("_compiled", "groupindex", "groups", "pattern")

    def __init__(self, compiled: re2._Regexp[str]) -> None:
        self._compiled = compiled
        self.pattern: str = compiled.pattern
        self.groups: int = compiled.groups
        self.groupindex: Mapping[str, int] = compiled.groupindex

    def search(self, text: str, /) -> Match | None:
        """Find the first match anywhere."""
        return self._compiled.search(_encodable(text))

    def match(self, text: str, /) -> Match | None:
        """Match at the beginning."""
        return self._compiled.match(_encodable(text))

    def fullmatch(self, text: str, /) -> Match | None:
        """Match the whole text."""
        return self._compiled.fullmatch(_encodable(text))

    def finditer(self, text: str, /) -> Iterator[Match]:
        """Find all matches."""
        return self._compiled.finditer(_encodable(text))

    def sub(self, repl: str | Callable[[Any], str], text: str, /) -> str:
        """Replace all matches."""
        return self._compiled.sub(repl, _encodable(text))

    def __repr__(self) -> str:
        return f"<LinearPattern {self.pattern!r}>"


Pattern: TypeAlias = re.Pattern[str] | LinearPattern
"""A compiled expression, with the methods of ``re.Pattern``."""


def _encodable(text: str) -> str:
    """Replace lone surrogates, which represent bytes of a client that are not UTF-8."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
