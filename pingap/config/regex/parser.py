"""Parser for regular expressions in the syntax of the Rust crate ``regex``."""

from __future__ import annotations

import re
from typing import Final, NoReturn

from pingap.config.regex.syntax import (
    Alternation,
    Assertion,
    Class,
    Concatenation,
    Dot,
    Flags,
    Group,
    Item,
    Named,
    Node,
    Operation,
    Repeat,
)

POSIX: Final = frozenset(
    [
        "alnum",
        "alpha",
        "ascii",
        "blank",
        "cntrl",
        "digit",
        "graph",
        "lower",
        "print",
        "punct",
        "space",
        "upper",
        "word",
        "xdigit",
    ]
)
MOST_NESTED: Final = 100
"""Nesting depth of groups and classes; the crate allows 250."""
MOST_REPEATED: Final = 1000
"""The largest number in braces; it is RE2's limit."""

_CONTROL: Final = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_BRACES: Final = re.compile(r"\{\s*([0-9]*)\s*(,?)\s*([0-9]*)\s*\}")
_GROUP_NAME: Final = re.compile(r"\(\?P?<([^\W\d][\w.\[\]]*)>")
_GROUP_FLAGS: Final = re.compile(r"\(\?([A-Za-z-]*)([:)])")
_POSIX_CLASS: Final = re.compile(r"\[:(\^?)([a-z]+):\]")
_UNICODE: Final = re.compile(r"\\([pP])(?:\{([^}^][^}]*)\}|([A-Za-z]))")
_HEX: Final = re.compile(
    r"\\(?:[xuU]\{([0-9A-Fa-f]{1,8})\}|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))"
)
_WORD_EDGE: Final = re.compile(r"\\b\{\s*[a-z]")
_REFUSED: Final = {
    "(?=": "look-ahead is not supported",
    "(?!": "look-ahead is not supported",
    "(?<=": "look-behind is not supported",
    "(?<!": "look-behind is not supported",
    "(?P=": "back-references are not supported",
    "(?(": "conditional groups are not supported",
    "(?>": "atomic groups are not supported",
}


def _is_space(char: str) -> bool:
    return char.isspace() and char not in "\x1c\x1d\x1e\x1f"  # which only Python counts


class SyntaxFaultError(Exception):
    """The expression is invalid; the message says why, and the index ``at`` says where."""

    def __init__(self, message: str, at: int | None = None) -> None:
        super().__init__(message)
        self.at = at


class Parser:
    """A recursive-descent parser; ``at`` is its position in the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._verbose = False
        self._ignores_case = False
        self._depth = 0
        self._names: set[str] = set()

    def parse(self) -> Node:
        """Return the syntax tree of the whole text.

        :raises SyntaxFaultError: the text is invalid, or uses unsupported syntax.
        """
        tree = self._alternation()
        if self.at < len(self.text):
            self._fail("unbalanced parenthesis")
        return tree

    def _fail(self, message: str, at: int | None = None) -> NoReturn:
        raise SyntaxFaultError(message, self.at if at is None else at)

    def _begins(self, text: str) -> bool:
        return self.text.startswith(text, self.at)

    def _take(self, length: int = 1) -> str:
        taken = self.text[self.at : self.at + length]
        self.at += length
        return taken

    # Groups and repetitions.

    def _alternation(self) -> Node:
        branches = [self._concatenation()]
        while self._begins("|"):
            self._take()
            branches.append(self._concatenation())
        return branches[0] if len(branches) == 1 else Alternation(tuple(branches))

    def _concatenation(self) -> Node:
        nodes: list[Node] = []
        while True:
            if self._verbose:
                self._skip_space()
            if self.at >= len(self.text) or self.text[self.at] in "|)":
                return nodes[0] if len(nodes) == 1 else Concatenation(tuple(nodes))
            if self.text[self.at] in "*+?" or _BRACES.match(self.text, self.at):
                self._repeat(nodes)
            else:
                nodes.append(self._atom())

    def _skip_space(self) -> None:
        while self.at < len(self.text):
            if not self._begins("#") and not _is_space(self.text[self.at]):
                return
            if self._begins("#"):
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                self._take()

    def _repeat(self, nodes: list[Node]) -> None:
        if not nodes or isinstance(nodes[-1], Flags):
            self._fail("nothing to repeat")
        if braces := _BRACES.match(self.text, self.at):
            least, most = self._bounds(braces)
            self._take(len(braces[0]))
        else:
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[self._take()]
        lazy = self._begins("?")
        if lazy:
            self._take()
        nodes[-1] = Repeat(nodes[-1], least, most, lazy)

    def _bounds(self, braces: re.Match[str]) -> tuple[int, int | None]:
        least, comma, most = braces.groups()
        if not least:
            self._fail("a repetition without its first number")
        numbers = int(least or 0), (int(most) if most else None if comma else int(least))
        if numbers[1] is not None and numbers[0] > numbers[1]:
            self._fail("the second number of a repetition must not be smaller than the first")
        if max(filter(None, numbers), default=0) > MOST_REPEATED:
            self._fail(f"a repetition of more than {MOST_REPEATED}")
        return numbers

    def _atom(self) -> Node:
        match self.text[self.at]:
            case "(":
                return self._group()
            case "[":
                return self._class()
            case "\\":
                return self._escape()
            case ".":
                self._take()
                return Dot()
            case "^" | "$":
                return Assertion(self._take())
            case _:
                if self._begins("{"):
                    self._fail("a { that begins no repetition (write \\{ for the character)")
                code = ord(self._take())
                return self._set(((code, code),))

    def _group(self) -> Node:
        start = self.at
        for opening, reason in _REFUSED.items():
            if self._begins(opening):
                self._fail(reason)
        name: str | None = ""
        flags = ""
        verbose, ignores_case = self._verbose, self._ignores_case
        if named := _GROUP_NAME.match(self.text, self.at):
            name = named[1]
            if not name.isidentifier():
                self._fail("the name of a group can have letters, digits and _ only")
            if name in self._names:
                self._fail(f"two groups are named {name}")
            self._names.add(name)
            self._take(len(named[0]))
        elif found := _GROUP_FLAGS.match(self.text, self.at):
            flags = self._flags(found[1])
            self._take(len(found[0]))
            if found[2] == ")":
                if not found[1]:
                    self._fail("no flag", start)
                return Flags(flags)
            name = None
        elif self._begins("(?"):
            self._fail("an unknown kind of group")
        else:
            self._take()
        self._go_deeper(start)
        node = self._alternation()
        if not self._begins(")"):
            self._fail("missing ), unterminated subpattern", start)
        self._take()
        self._depth -= 1
        self._verbose, self._ignores_case = verbose, ignores_case
        return Group(node, name, flags)

    def _go_deeper(self, start: int) -> None:
        self._depth += 1
        if self._depth > MOST_NESTED:
            self._fail("nested too deeply", start)

    def _flags(self, text: str) -> str:
        """Return the flags that must be passed to the engine."""
        on, minus, off = text.partition("-")
        if unknown := set(on + off) - set("imsUxu"):
            self._fail(f"the flag {min(unknown)} is not supported")
        if "u" in off or (minus and not off):
            self._fail("the flag -u is not supported" if off else "a - without a flag")
        if len(set(on + off)) < len(on + off):
            self._fail("a flag twice")
        if "x" in text:
            self._verbose = "x" in on
        if "i" in text:
            self._ignores_case = "i" in on
        keep = ["".join(one for one in part if one in "imsU") for part in (on, off)]
        return keep[0] + ("-" + keep[1] if keep[1] else "")

    # Escapes and classes.

    def _escape(self) -> Node:
        letter = self.text[self.at + 1 : self.at + 2]
        if _WORD_EDGE.match(self.text, self.at):
            self._fail(r"\b{..} is not supported")
        if letter in "AzbB<>" and letter:
            return Assertion(self._take(2))
        item = self._escaped()
        return item if isinstance(item, Named) else self._set((item,))

    def _set(self, items: tuple[Item, ...], *, negated: bool = False) -> Class:
        return Class(items, negated, self._ignores_case)

    def _escaped(self) -> Named | tuple[int, int]:
        """Read an escape that has the same meaning inside and outside of a class."""
        if found := _HEX.match(self.text, self.at):
            code = int(next(filter(None, found.groups())), 16)
            if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                self._fail("no such character")
            self._take(len(found[0]))
            return code, code
        if found := _UNICODE.match(self.text, self.at):
            self._take(len(found[0]))
            return Named("unicode", found[2] or found[3], found[1] == "P")
        letter = self.text[self.at + 1 : self.at + 2]
        if letter.lower() in ("d", "w", "s"):
            self._take(2)
            return Named("perl", letter.lower(), letter.isupper())
        if letter in _CONTROL:
            self._take(2)
            return _CONTROL[letter], _CONTROL[letter]
        if letter.isdigit():
            self._fail("back-references are not supported")
        if not letter:
            self._fail("a backslash at the end")
        if letter.isalnum() or not letter.isascii():
            self._fail(f"unknown escape \\{letter}")
        self._take(2)
        return ord(letter), ord(letter)

    def _class(self) -> Class:
        start = self.at
        self._go_deeper(start)
        self._take_in_class()
        negated = self._begins("^")
        if negated:
            self._take_in_class()
        items: list[Item] = []
        while self._begins("-"):
            self._take_in_class()
            items.append((ord("-"), ord("-")))
        if not items and self._begins("]"):  # in the first place it stands for itself
            self._take_in_class()
            items.append((ord("]"), ord("]")))
        union = self._items(items, start)
        self._take()
        self._depth -= 1
        return self._set(union.items, negated=negated)

    def _take_in_class(self, length: int = 1) -> str:
        """Take what is part of a class, and with ``(?x)`` the space and comments behind it."""
        taken = self._take(length)
        if self._verbose:
            self._skip_space()
        return taken

    def _items(self, items: list[Item], start: int) -> Class:
        """Read up to the closing bracket; set operators bind weaker than the union of items."""
        left: Class | None = None
        operator = ""
        while True:
            self._take_in_class(0)
            if self.at >= len(self.text):
                self._fail("unterminated character set", start)
            closing = self._begins("]")
            if not closing and self.text[self.at : self.at + 2] not in ("&&", "--", "~~"):
                items.append(self._item(start))
                continue
            right = self._set(tuple(items))
            left = right if left is None else self._set((Operation(operator, left, right),))
            if closing:
                return left
            operator, items = self._take(2), []

    def _item(self, start: int) -> Item:
        if posix := _POSIX_CLASS.match(self.text, self.at):
            if posix[2] not in POSIX:
                self._fail(f"unknown class {posix[0]}")
            self._take(len(posix[0]))
            return Named("posix", posix[2], bool(posix[1]))
        if self._begins("["):
            return self._class()
        first = self._single()
        self._take_in_class(0)
        if not self._begins("-"):
            return first
        dash = self.at
        self._take_in_class()
        if self.at >= len(self.text) or self.text[self.at] in "]-":
            self.at = dash
            return first
        last = self._single()
        if isinstance(first, Named) or isinstance(last, Named):
            self._fail("a range that begins or ends with a class")
        if last[0] < first[0]:
            self._fail("bad character range")
        return first[0], last[0]

    def _single(self) -> Named | tuple[int, int]:
        if self._begins("\\"):
            return self._escaped()
        code = ord(self._take())
        return code, code
