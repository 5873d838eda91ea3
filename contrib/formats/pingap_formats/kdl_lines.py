"""Finds where the nodes of a KDL text begin, which its parser does not tell."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

from pingap import FormatError

_TOKEN: Final = re.compile(
    r"""(?P<space>[^\S\n\r\x0b\x0c\x85\u2028\u2029]+|\ufeff)
    |(?P<end>\r\n|[\n\r\x0b\x0c\x85\u2028\u2029;])
    |(?P<continued>\\[^\S\n\r]*(?://[^\n]*)?(?:\r\n|\n|\r|\Z))
    |(?P<comment>//[^\n\r]*)
    |(?P<long>/\*)
    |(?P<dash>/-)
    |(?P<string>r?(?P<marks>\#+)(?P<quotes>\"{3}|\")|r\"|\"{3}|\")
    |(?P<open>\{)
    |(?P<close>\})
    |(?P<word>[^\s{};\"\\/]+|[\s\S])""",
    re.VERBOSE,
)
_COMMENT_MARK: Final = re.compile(r"/\*|\*/")
_ESCAPED: Final = {
    '"': re.compile(r'(?:\\[\s\S]|[^"\\])*"'),
    '"""': re.compile(r'(?:\\[\s\S]|[^\\])*?"""'),
}


class Nodes:
    """The beginnings of all nodes, in the order of the text; those after ``/-`` are not counted.

    :param text: KDL of version 1 or 2.
    :raises FormatError: a string or a comment has no end.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self.starts: list[int] = []
        self.open: list[int] = []
        """Where the blocks begin that have no end."""
        self._dropped = [False]
        """Whether the nodes of a block do not count, for each open block."""
        self._node_dropped = False
        self._after_dash = False
        self._begins = True
        while self._at < len(text):
            self._take()

    def line(self, position: int) -> int:
        """Return the line of a position, counted from 1."""
        return bisect_right(self._line_starts, position)

    def _take(self) -> None:
        found = _TOKEN.match(self._text, self._at)
        assert found is not None  # the last alternative takes any character
        kind, start = found.lastgroup, self._at
        self._at = found.end()
        if found["string"]:
            self._skip_string(found)
            self._part(start)
        elif kind == "long":
            self._skip_comment(start)
        elif kind == "end":
            self._begins = True
        elif kind == "dash":
            self._after_dash = True
        elif kind == "open":
            self.open.append(start)
            self._dropped.append(self._dropped[-1] or self._node_dropped or self._after_dash)
            self._after_dash, self._begins = False, True
        elif kind == "close":
            if self.open:
                self.open.pop()
                self._dropped.pop()
            self._begins = False
        elif kind == "word":
            self._part(start)

    def _part(self, start: int) -> None:
        """Take a part of a node, which may be its first."""
        if self._begins:
            self._node_dropped = self._after_dash
            if not (self._dropped[-1] or self._node_dropped):
                self.starts.append(start)
        self._begins = self._after_dash = False

    def _skip_string(self, found: re.Match[str]) -> None:
        opening = found["string"].removeprefix("r")
        if found["marks"]:
            end = self._text.find(found["quotes"] + found["marks"], self._at)
            self._at = end + len(opening) if end >= 0 else -1
        elif found["string"] == 'r"':
            self._at = self._text.find('"', self._at) + 1 or -1
        else:
            closing = _ESCAPED[opening].match(self._text, self._at)
            self._at = closing.end() if closing else -1
        if self._at < 0:
            self._fail("a string has no end", found.start())

    def _skip_comment(self, start: int) -> None:
        depth = 1
        while depth:
            mark = _COMMENT_MARK.search(self._text, self._at)
            if mark is None:
                self._fail("a comment has no end", start)
                return
            depth += 1 if mark[0] == "/*" else -1
            self._at = mark.end()

    def _fail(self, message: str, position: int) -> None:
        raise FormatError(f"is not valid KDL: {message}", self.line(position))
