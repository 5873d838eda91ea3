"""Finds the lines of keys and the statements in TOML text.

It scans text that tomli has accepted and builds no values. It runs only when a problem has to be located
or a text is edited, so reading valid configuration never pays for it. If it cannot follow a text, lines
are missing from the result.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from contextlib import suppress
from typing import NamedTuple

import tomli

from pingap.config.problem import KeyPath

_SPACE = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")  # blanks, line ends and comments
_KEY = re.compile(r"""("(?:\\.|[^"\\\n])*"|'[^'\n]*')|[A-Za-z0-9_-]+""")
# A multi-line string may end with one or two quotes of its own before the three closing ones.
_STRING = re.compile(
    r'"""(?:\\[\s\S]|[^\\])*?""""{0,2}'
    r"|'''[\s\S]*?''''{0,2}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
)
_SCALAR = re.compile(r"[^,\]}#\r\n]+")  # a number, a boolean, a date


def key_lines(text: str) -> dict[KeyPath, int]:
    """Map every key path of a TOML text to its line, counted from 1.

    A table has the line of its header, or of the first key that creates it; an array element has the line
    where it begins.
    """
    return _Scanner(text).scan()


class Statement(NamedTuple):
    """A table header, or a key with its value.

    :param path: of the table that a header opens, or of the key.
    :param start: offset of its first character; it is preceded by blanks at most.
    :param value: offset of the value; of a header, its end.
    :param end: offset after its last character; blanks and a comment may follow.
    """

    path: KeyPath
    start: int
    value: int
    end: int

    @property
    def is_header(self) -> bool:
        """Whether it opens a table."""
        return self.value == self.end


def statements(text: str) -> list[Statement]:
    """Return the statements of a TOML text in order.

    :raises ValueError: the text is not TOML.
    """
    scanner = _Scanner(text, marks=False)
    try:
        scanner.read()
    except (_LostError, RecursionError) as error:
        raise ValueError("this text is not TOML") from error
    return scanner.statements


class _LostError(Exception):
    """The text is not TOML that tomli would accept."""


class _Scanner:
    def __init__(self, text: str, *, marks: bool = True) -> None:
        self.text = text
        self.marks = marks
        self.at = 0
        self.statements: list[Statement] = []
        self.found: dict[KeyPath, int] = {}
        self.elements: dict[KeyPath, int] = {}  # number of [[headers]] of each array of tables
        self.line_starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def scan(self) -> dict[KeyPath, int]:
        with suppress(_LostError, RecursionError, tomli.TOMLDecodeError):
            self.read()
        return self.found

    def read(self) -> None:
        table: KeyPath = ()
        while (start := self._skip(_GAP)) < len(self.text):
            if self.text[start] == "[":
                path = table = self._header()
                value = self.at
            else:
                path, value = self._pair(table)
            end = start + len(self.text[start : self.at].rstrip())
            self.statements.append(Statement(path, start, value, end))

    def _header(self) -> KeyPath:
        """Read ``[a.b]`` or ``[[a.b]]``; return the path of the table that it opens."""
        start = self.at
        double = self.text.startswith("[[", start)
        self.at += 2 if double else 1
        keys = self._dotted_key()
        self._expect("]]" if double else "]")
        path: KeyPath = ()
        for key in keys[:-1]:
            path = self._last_element((*path, key))
        path = (*path, keys[-1])
        if double:
            self._mark(path, start, again=False)
            index = self.elements[path] = self.elements.get(path, -1) + 1
            path = (*path, index)
        self._mark(path, start)
        return path

    def _last_element(self, path: KeyPath) -> KeyPath:
        return (*path, self.elements[path]) if path in self.elements else path

    def _pair(self, table: KeyPath) -> tuple[KeyPath, int]:
        """Read a key and its value; return the path of the key, and the offset of the value."""
        start = self.at
        path = (*table, *self._dotted_key())
        self._mark(path, start)
        self._expect("=")
        value = self._skip(_SPACE)
        self._value(path)
        return path, value

    def _dotted_key(self) -> list[str]:
        keys = []
        while True:
            self._skip(_SPACE)
            match = self._take(_KEY)
            keys.append(tomli.loads(f"key = {match[0]}")["key"] if match[1] else match[0])
            self._skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return keys
            self.at += 1

    def _value(self, path: KeyPath) -> None:
        opening = self.text[self.at : self.at + 1]
        if opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            self._take(_STRING if opening in ('"', "'") else _SCALAR)

    def _array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        while not self._closes("]"):
            self._mark((*path, index), self.at)
            self._value((*path, index))
            index += 1
            self._comma_before("]")

    def _inline_table(self, path: KeyPath) -> None:
        self.at += 1
        while not self._closes("}"):
            self._pair(path)
            self._comma_before("}")

    def _closes(self, bracket: str) -> bool:
        self._skip(_GAP)
        if self.text.startswith(bracket, self.at):
            self.at += 1
            return True
        return False

    def _comma_before(self, bracket: str) -> None:
        self._skip(_GAP)
        if not self.text.startswith(bracket, self.at):
            self._expect(",")

    def _mark(self, path: KeyPath, start: int, *, again: bool = True) -> None:
        """Record the line of ``path``, and of the tables around it that have none yet."""
        if not self.marks:
            return
        line = bisect_right(self.line_starts, start)
        for length in range(1, len(path)):
            self.found.setdefault(path[:length], line)
        if again:
            self.found[path] = line
        else:
            self.found.setdefault(path, line)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.at

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise _LostError
        self.at = match.end()
        return match

    def _expect(self, text: str) -> None:
        if not self.text.startswith(text, self.at):
            raise _LostError
        self.at += len(text)
