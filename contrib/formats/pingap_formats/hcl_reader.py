"""Reads the part of HCL that has no expressions, with the line of each key.

Blocks, attributes, strings, heredocs, numbers, booleans, lists and objects. pingap 0.13.9 evaluates no
expressions either; here they are errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from pingap import FormatError
from pingap_formats.block import Block, KeyPath

MOST_NESTED: Final = 32
"""How deep values and blocks can be nested."""

_BLANK: Final = re.compile(r"(?:[ \t\r]|/\*[\s\S]*?\*/)*")
_GAP: Final = re.compile(r"(?:[\s]|/\*[\s\S]*?\*/|(?:#|//)[^\n]*)*")
_REST_OF_LINE: Final = re.compile(r"(?:#|//)[^\n]*|(?=\n|\}|\Z)")
_NAME: Final = re.compile(r"[^\W\d][\w-]*")
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?(?![\w.])")
_HEREDOC: Final = re.compile(r"<<(-?)([^\W\d][\w-]*)[ \t]*\r?\n")
_PLAIN: Final = re.compile(r'[^"\\\n$%]+')
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_TEMPLATE: Final = re.compile(r"(\$\$|%%|[$%])\{")
_WORDS: Final = {"true": True, "false": False, "null": ""}


def read_hcl(text: str) -> list[Block]:
    """Return the blocks of a text.

    :raises FormatError: it is not valid, or contains an expression.
    """
    reader = _Reader(text)
    top = Block("", [], 1)
    reader.body(top, 0)
    if reader.at < len(text):
        reader.fail("found } without a block")
    if top.values:
        key = next(iter(top.values))
        raise FormatError(f"{key} is in no block, as in basic {{ {key} = ... }}", top.lines[(key,)])
    return top.blocks


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        raise FormatError(f"is not valid HCL: {message}", self.line(at))

    def line(self, at: int | None = None) -> int:
        return self.text.count("\n", 0, self.at if at is None else at) + 1

    def body(self, block: Block, depth: int) -> None:
        """Read attributes and blocks up to the end of a block, which stays."""
        if depth > MOST_NESTED:
            self.fail("nested too deeply")
        while not self.ends():
            start = self.at
            name = self.name("the name of an attribute or a block")
            self.skip(_BLANK)
            if self.next("="):
                self.attribute(block, name, start)
            else:
                block.blocks.append(self.block(name, start, depth))
            self.skip(_BLANK)
            if not _REST_OF_LINE.match(self.text, self.at):
                self.fail(f"found {self.shown()}, expected the end of the line")

    def ends(self) -> bool:
        self.skip(_GAP)
        return self.at >= len(self.text) or self.text[self.at] == "}"

    def attribute(self, block: Block, name: str, start: int) -> None:
        if name in block.values:
            self.fail(f"{name} is set here and in line {block.lines[(name,)]}", start)
        block.lines[(name,)] = self.line(start)
        self.skip(_BLANK)
        block.values[name] = self.value(block, (name,))

    def block(self, kind: str, start: int, depth: int) -> Block:
        block = Block(kind, [], self.line(start))
        while not self.next("{"):
            if self.text.startswith('"', self.at):
                block.names.append(self.string())
            else:
                block.names.append(self.name("a name or {"))
            self.skip(_BLANK)
        self.body(block, depth + 1)
        if not self.next("}"):
            self.fail(f"the block {kind} has no end", start)
        return block

    def name(self, expected: str) -> str:
        if (found := _NAME.match(self.text, self.at)) is None:
            self.fail(f"found {self.shown()}, expected {expected}")
        self.at = found.end()
        return found[0]

    def value(self, block: Block, path: KeyPath) -> Any:
        """Read a value, and record the lines of its elements."""
        if len(path) > MOST_NESTED:
            self.fail("nested too deeply")
        text, at = self.text, self.at
        if text.startswith('"', at):
            return self.string()
        if text.startswith("<<", at):
            return self.heredoc()
        if self.next("["):
            return list(self.elements(block, path))
        if self.next("{"):
            return dict(self.members(block, path))
        if number := _NUMBER.match(text, at):
            self.at = number.end()
            return self.number(number)
        word = _NAME.match(text, at)
        if word is None or word[0] not in _WORDS:
            self.fail(f"found {self.shown()}, expected a value; expressions are not evaluated")
        self.at = word.end()
        return _WORDS[word[0]]

    def number(self, found: re.Match[str]) -> int | float:
        try:
            return float(found[0]) if found[1] or found[2] else int(found[0])
        except ValueError:
            self.fail("a number is too long", found.start())

    def elements(self, block: Block, path: KeyPath) -> Iterator[Any]:
        index = 0
        while not self.closes("]"):
            block.lines[(*path, index)] = self.line()
            yield self.value(block, (*path, index))
            index += 1
            self.skip(_GAP)
            if not self.next(",") and not self.text.startswith("]", self.at):
                self.fail(f"found {self.shown()}, expected , or ]")

    def members(self, block: Block, path: KeyPath) -> Iterator[tuple[str, Any]]:
        known: set[str] = set()
        while not self.closes("}"):
            start = self.at
            quoted = self.text.startswith('"', self.at)
            name = self.string() if quoted else self.name("a key or }")
            if name in known:
                self.fail(f"{name} is set twice", start)
            known.add(name)
            block.lines[(*path, name)] = self.line(start)
            self.skip(_BLANK)
            if not (self.next("=") or self.next(":")):
                self.fail(f"found {self.shown()}, expected =")
            self.skip(_BLANK)
            yield name, self.value(block, (*path, name))
            self.skip(_BLANK)
            if not self.next(",") and not _REST_OF_LINE.match(self.text, self.at):
                self.fail(f"found {self.shown()}, expected , or }}")

    def closes(self, bracket: str) -> bool:
        self.skip(_GAP)
        if self.at >= len(self.text):
            self.fail(f"the text ends before {bracket}")
        return self.next(bracket)

    def string(self) -> str:
        start, parts = self.at, []
        self.at += 1
        while not self.next('"'):
            if plain := _PLAIN.match(self.text, self.at):
                self.at = plain.end()
                parts.append(plain[0])
            elif escape := _ESCAPE.match(self.text, self.at):
                parts.append(self.escaped(escape))
                self.at = escape.end()
            elif self.at >= len(self.text) or self.text[self.at] in "\n\\":
                self.fail("a string has no end in its line", start)
            else:
                parts.append(self.template_mark())
        return "".join(parts)

    def escaped(self, found: re.Match[str]) -> str:
        if found[3]:
            if found[3] not in _ESCAPES:
                self.fail(f"found {found[0]} in a string, expected an escape such as \\n")
            return _ESCAPES[found[3]]
        number = int(found[1] or found[2], 16)
        if number > 0x10FFFF or 0xD800 <= number < 0xE000:
            self.fail(f"{found[0]} is no character")
        return chr(number)

    def template_mark(self) -> str:
        """Read ``$``, ``%``, and ``$${`` for ``${``."""
        found = _TEMPLATE.match(self.text, self.at)
        if found is None:
            self.at += 1
            return self.text[self.at - 1]
        if len(found[1]) == 1:
            self.fail(f"expressions are not evaluated; write {found[1]}{found[0]} for {found[0]}")
        self.at = found.end()
        return found[0][1:]

    def heredoc(self) -> str:
        start, opening = self.at, _HEREDOC.match(self.text, self.at)
        if opening is None:
            self.fail("expected a heredoc such as <<EOT and the end of the line")
        closing = re.compile(rf"^[ \t]*{re.escape(opening[2])}(?=[ \t\r]*$)", re.MULTILINE)
        end = closing.search(self.text, opening.end())
        if end is None:
            self.fail(f"{opening[0].strip()} has no end", start)
        text = self.text[opening.end() : end.start()]
        for mark in _TEMPLATE.finditer(text):
            if len(mark[1]) == 1:
                where = opening.end() + mark.start()
                self.fail(
                    f"expressions are not evaluated; write {mark[1]}{mark[0]} for {mark[0]}", where
                )
        self.at = end.end()
        text = _TEMPLATE.sub(lambda mark: mark[0][1:], text.replace("\r\n", "\n"))
        return _unindented(text) if opening[1] else text

    def skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def next(self, text: str) -> bool:
        if not self.text.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def shown(self) -> str:
        """Return what comes next, for a message: never the inside of a string."""
        if self.at >= len(self.text):
            return "the end of the text"
        found = _NAME.match(self.text, self.at)
        return found[0][:40] if found else repr(self.text[self.at])


def _unindented(text: str) -> str:
    lines = text.splitlines(keepends=True)
    indents = [len(line) - len(line.lstrip(" \t")) for line in lines if line.strip()]
    least = min(indents, default=0)
    return "".join(line[least:] if line.strip() else line.lstrip(" \t") for line in lines)
