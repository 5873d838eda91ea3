"""Rust regular expressions for Python's ``re``.

pingap's TOML holds the syntax of the Rust crate ``regex``. Most of it is the same in Python; what
differs is translated, and what one of the two does not have is refused, so that no expression
silently means something else. Not covered: Rust matches in linear time, Python may backtrack.
"""

from __future__ import annotations

import re

from pingap.config.problem import shortened

_POSIX_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_ANCHORS = {"z": r"\Z", "<": r"\b(?=\w)", ">": r"\b(?<=\w)"}
_NO_BACKREFERENCE = "back-references are not supported"
_REFUSED_GROUPS = {
    "(?=": "look-ahead is not supported",
    "(?!": "look-ahead is not supported",
    "(?<=": "look-behind is not supported",
    "(?<!": "look-behind is not supported",
    "(?P=": _NO_BACKREFERENCE,
    "(?(": "conditional groups are not supported",
    "(?>": "atomic groups are not supported",
}
_QUANTIFIER = re.compile(r"(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})\??")
_FLAGS = re.compile(r"\(\?([A-Za-z-]+)[:)]")
_MULTI_LINE = re.compile(r"\(\?[a-zA-Z]*m[a-zA-Z]*(?:-[a-zA-Z]*)?[:)]")
_HEX = re.compile(r"\\[xuU]\{([0-9A-Fa-f]{1,8})\}")
_POSIX = re.compile(r"\[:([a-z]+):\]")


def compile_regex(text: str) -> re.Pattern[str]:
    r"""Compile an expression written in Rust syntax.

    Translated: ``(?<n>``, ``\z``, ``$`` (only the very end), ``\x{1f}``, ``[[:alpha:]]``.

    :raises ValueError: with a text for the operator that names the position, counted from 1, when
        it is no expression, or uses look-around, back-references, ``\p{..}`` or class operations.
    """
    translation = _Translation(text)
    try:
        translation.run()
        return re.compile("".join(translation.pieces))
    except _RefusedError as refused:
        raise _invalid(text, str(refused), translation.at) from None
    except re.error as error:
        position = None if error.pos is None else translation.origin(error.pos)
        raise _invalid(text, error.msg, position) from None
    except (OverflowError, RecursionError):
        raise _invalid(text, "too large", None) from None


def _invalid(text: str, reason: str, position: int | None) -> ValueError:
    where = "" if position is None else f" at character {position + 1}"
    return ValueError(f"{shortened(text)} is not a regular expression: {reason}{where}")


class _RefusedError(Exception):
    """Valid for one of the two engines only."""


class _Translation:
    """Walks through the text once; ``at`` is where it stands."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.pieces: list[str] = []
        self.starts: list[int] = []  # where in the text each piece comes from
        self.end_anchor = "$" if _MULTI_LINE.search(text) else r"\Z"

    def origin(self, position: int) -> int:
        """Turn a position in the translation into one in the text."""
        for piece, start in zip(self.pieces, self.starts, strict=True):
            if position < len(piece):
                return start + (position if self.text.startswith(piece, start) else 0)
            position -= len(piece)
        return len(self.text)

    def run(self) -> None:
        while self.at < len(self.text):
            match self.text[self.at]:
                case "\\":
                    self._escape()
                case "[":
                    self._class()
                case "(":
                    self._group()
                case "$":
                    self._emit(self.end_anchor, 1)
                case _ if quantifier := _QUANTIFIER.match(self.text, self.at):
                    self._quantifier(quantifier[0])
                case other:
                    self._emit(other, 1)

    def _emit(self, piece: str, length: int) -> None:
        self.pieces.append(piece)
        self.starts.append(self.at)
        self.at += length

    def _escape(self) -> None:
        letter = self.text[self.at + 1 : self.at + 2]
        if letter in _ANCHORS:
            self._emit(_ANCHORS[letter], 2)
        elif self.text.startswith(r"\b{", self.at):
            raise _RefusedError(r"\b{..} is not supported")
        else:
            self._plain_escape(letter)

    def _plain_escape(self, letter: str) -> None:
        """An escape that means the same inside and outside of a class."""
        if letter.isdigit():
            raise _RefusedError(_NO_BACKREFERENCE)
        if letter in ("p", "P"):
            raise _RefusedError(rf"Unicode classes (\{letter}) are not supported")
        if code := _HEX.match(self.text, self.at):
            if int(code[1], 16) > 0x10FFFF:
                raise _RefusedError("no such character")
            self._emit(re.escape(chr(int(code[1], 16))), len(code[0]))
        else:
            self._emit("\\" + letter, 2)

    def _group(self) -> None:
        for opening, reason in _REFUSED_GROUPS.items():
            if self.text.startswith(opening, self.at):
                raise _RefusedError(reason)
        flags = _FLAGS.match(self.text, self.at)
        if flags and set(flags[1]) & {"U", "R"}:
            raise _RefusedError("the flags U and R are not supported")
        if self.text.startswith("(?<", self.at):
            self._emit("(?P<", 3)
        elif self.text.startswith("(?", self.at):
            self._emit("(?", 2)
        else:
            self._emit("(", 1)

    def _quantifier(self, quantifier: str) -> None:
        after = self.at + len(quantifier)
        if self.text.startswith("+", after):  # possessive in Python, a repeated repetition in Rust
            self.at = after
            raise _RefusedError("a quantifier after a quantifier is not supported")
        self._emit(quantifier, len(quantifier))

    def _class(self) -> None:
        opening = "[^" if self.text.startswith("[^", self.at) else "["
        self._emit(opening, len(opening))
        if self.text.startswith("]", self.at):  # a bracket in the first place stands for itself
            self._emit("]", 1)
        while self.at < len(self.text) and self.text[self.at] != "]":
            self._class_item()
        self._emit(self.text[self.at : self.at + 1], 1)

    def _class_item(self) -> None:
        pair = self.text[self.at : self.at + 2]
        if posix := _POSIX.match(self.text, self.at):
            if posix[1] not in _POSIX_CLASSES:
                raise _RefusedError(f"unknown class {posix[0]}")
            self._emit(_POSIX_CLASSES[posix[1]], len(posix[0]))
        elif pair[0] == "[":
            raise _RefusedError(r"a class in a class is not supported (a bracket is written \[)")
        elif pair in ("&&", "--", "~~"):
            raise _RefusedError(f"the class operation {pair} is not supported")
        elif pair[0] == "\\":
            self._plain_escape(pair[1:])
        else:
            self._emit(r"\|" if pair[0] == "|" else pair[0], 1)
