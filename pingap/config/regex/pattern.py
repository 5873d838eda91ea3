"""Compiled expressions of both engines, with one interface."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import re2

from pingap.config.regex.sets import options

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

    def _engine(self, text: str) -> re2._Regexp[str] | re.Pattern[str]:
        return self._compiled

    def search(self, text: str, pos: int = 0, /) -> Match | None:
        """Find the first match from ``pos`` on; the text before it counts for anchors and word boundaries."""
        return self._engine(text).search(_encodable(text), pos)

    def match(self, text: str, /) -> Match | None:
        """Match at the beginning."""
        return self._engine(text).match(_encodable(text))

    def fullmatch(self, text: str, /) -> Match | None:
        """Match the whole text."""
        return self._engine(text).fullmatch(_encodable(text))

    def finditer(self, text: str, pos: int = 0, /) -> Iterator[Match]:
        """Find all matches from ``pos`` on, as ``search`` does."""
        return self._engine(text).finditer(_encodable(text), pos)

    def sub(self, repl: str | Callable[[Any], str], text: str, /) -> str:
        """Replace all matches."""
        return self._engine(text).sub(repl, _encodable(text))

    def __repr__(self) -> str:
        return f"<LinearPattern {self.pattern!r}>"


class AsciiPattern(LinearPattern):
    """An expression that has the same meaning in ``re``, which is faster, but only for ASCII texts.

    :param fast: the expression compiled by ``re``.
    :param written: the expression for RE2; compiled when a text needs it.
    """

    __slots__ = ("_fast", "_others", "_written")

    def __init__(self, fast: re.Pattern[str], written: str) -> None:
        self._fast = fast
        self._written = written
        self._others: re2._Regexp[str] | None = None
        self.pattern = fast.pattern
        self.groups = fast.groups
        self.groupindex = fast.groupindex

    def _engine(self, text: str) -> re2._Regexp[str] | re.Pattern[str]:
        if text.isascii():
            return self._fast
        if self._others is None:
            self._others = re2.compile(self._written, options())
        return self._others


Pattern: TypeAlias = re.Pattern[str] | LinearPattern
"""A compiled expression, with the methods of ``re.Pattern``."""


_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def _encodable(text: str) -> str:
    """Replace each lone surrogate, which represents a byte that is not UTF-8, by one other character."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
