"""Reads Caddyfiles: tokens, blocks, imports and snippets, with the line of each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pingap_convert.formats import read_text
from pingap_convert.result import ConversionError, Place

MOST_IMPORTS: Final = 20
"""How deep files may import each other."""
_VARIABLE: Final = re.compile(r"\{\$([A-Za-z_][A-Za-z0-9_]*)(?::([^}]*))?\}")
_TOKEN: Final = re.compile(
    r"""(?P<space>[^\S\n]+|\\\r?\n)|(?P<end>\n)|(?P<comment>\#[^\n]*)
    |<<(?P<mark>[A-Za-z0-9_-]+)\r?\n(?P<here>[\s\S]*?\n?)[^\S\n]*(?P=mark)(?=\s|\Z)
    |"(?P<quoted>(?:\\"|[^"])*)"|`(?P<raw>[^`]*)`|(?P<word>(?:\\\S|[^\s\\])+)|(?P<other>\\)""",
    re.VERBOSE,
)
_ARGUMENT: Final = re.compile(r"\{args\[(\d+)\]\}|\{args\.(\d+)\}")


@dataclass(frozen=True)
class Token:
    """A word.

    :param quoted: it was written in quotes, so it is no brace.
    """

    text: str
    place: Place
    quoted: bool = False

    def is_brace(self, brace: str) -> bool:
        """Return whether it opens or closes a block."""
        return self.text == brace and not self.quoted


@dataclass
class Segment:
    """A line with its block: a directive, an option, or a site.

    :param block: None without one.
    """

    words: list[str]
    place: Place
    block: list[Segment] | None = None

    @property
    def name(self) -> str:
        """The first word."""
        return self.words[0] if self.words else ""


@dataclass
class Caddyfile:
    """What a file contains.

    :param options: the global block.
    :param sites: their words are addresses.
    """

    options: list[Segment] = field(default_factory=list)
    sites: list[Segment] = field(default_factory=list)


def read_caddyfile(path: Path) -> Caddyfile:
    """Return the sites of a file.

    :raises ConversionError: it is not valid.
    """
    return _Reader(path).read()


def _lines(path: Path, text: str) -> list[list[Token]]:
    """Return the tokens of each line that has any."""
    text = _VARIABLE.sub(lambda found: os.environ.get(found[1], found[2] or ""), text)
    lines: list[list[Token]] = [[]]
    number = 1
    for found in _TOKEN.finditer(text):
        place = Place(str(path), number)
        number += found[0].count("\n")
        if found["end"]:
            lines.append([])
        elif found["here"] is not None:
            lines[-1].append(Token(found["here"].removesuffix("\n"), place, quoted=True))
        elif found["quoted"] is not None:
            lines[-1].append(Token(found["quoted"].replace('\\"', '"'), place, quoted=True))
        elif found["raw"] is not None:
            lines[-1].append(Token(found["raw"], place, quoted=True))
        elif found["word"]:
            lines[-1].append(Token(found["word"], place))
    return [line for line in lines if line]


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = iter(self._joined(_lines(path, read_text(path))))
        self._snippets: dict[str, list[Segment]] = {}

    def read(self) -> Caddyfile:
        file = Caddyfile()
        for line in self._lines:
            if line[-1].is_brace("{"):
                block = self._block(line[-1].place)
                self._add(file, [one.text for one in line[:-1]], line[0].place, block)
            elif line[0].text == "import":
                for other in self._imported_sites(line):
                    file.sites += other.sites
            else:  # one site without braces
                block = [self._segment(rest) for rest in self._lines]
                file.sites.append(Segment([one.text for one in line], line[0].place, block))
        for site in file.sites:
            site.block = list(self._expanded(site.block or [], 0))
        return file

    def _joined(self, lines: list[list[Token]]) -> Iterator[list[Token]]:
        """Join lines of addresses that end with a comma."""
        waiting: list[Token] = []
        for line in lines:
            if line[-1].text.endswith(",") and not line[-1].quoted:
                waiting += line
                continue
            yield waiting + line
            waiting = []
        if waiting:
            yield waiting

    def _add(self, file: Caddyfile, words: list[str], place: Place, block: list[Segment]) -> None:
        if not words:
            file.options += block
        elif len(words) == 1 and words[0].startswith("(") and words[0].endswith(")"):
            self._snippets[words[0][1:-1]] = block
        else:
            file.sites.append(Segment(words, place, block))

    def _block(self, opening: Place) -> list[Segment]:
        segments: list[Segment] = []
        for line in self._lines:
            if len(line) == 1 and line[0].is_brace("}"):
                return segments
            segments.append(self._segment(line))
        raise ConversionError(f"{opening.file}:{opening.line}: a block has no end")

    def _segment(self, line: list[Token]) -> Segment:
        place = line[0].place
        if line[0].is_brace("}"):
            raise ConversionError(f"{place.file}:{place.line}: found }} without a block")
        if line[-1].is_brace("{"):
            words = [one.text for one in line[:-1]]
            return Segment(words, place, self._block(place))
        return Segment([one.text for one in line], place)

    def _imported_sites(self, line: list[Token]) -> Iterator[Caddyfile]:
        for path in self._files(line[1].text if len(line) > 1 else "", line[0].place):
            reader = _Reader(path)
            reader._snippets = self._snippets
            yield reader.read()

    def _files(self, pattern: str, place: Place) -> list[Path]:
        folder = Path(place.file).parent
        found = (
            sorted(folder.glob(pattern))
            if not pattern.startswith("/")
            else [*sorted(Path("/").glob(pattern.lstrip("/")))]
        )
        if not found and not set(pattern) & set("*?["):
            raise ConversionError(f"{place.file}:{place.line}: import {pattern}: there is none")
        return [one for one in found if one.is_file()]

    def _expanded(self, segments: list[Segment], depth: int) -> Iterator[Segment]:
        """Yield segments, and the contents of snippets and files in place of ``import``."""
        for segment in segments:
            if segment.name != "import" or len(segment.words) < 2:
                if segment.block is not None:
                    segment.block = list(self._expanded(segment.block, depth))
                yield segment
                continue
            place = segment.place
            if depth > MOST_IMPORTS:
                raise ConversionError(f"{place.file}:{place.line}: import in a circle")
            yield from self._expanded(self._imported(segment), depth + 1)

    def _imported(self, segment: Segment) -> list[Segment]:
        name, arguments = segment.words[1], segment.words[2:]
        if name in self._snippets:
            return [_filled(one, arguments) for one in self._snippets[name]]
        found = []
        for path in self._files(name, segment.place):
            reader = _Reader(path)
            found += [reader._segment(line) for line in reader._lines]
        return found


def _filled(segment: Segment, arguments: list[str]) -> Segment:
    """Return a copy with the arguments of a snippet."""

    def argument(found: re.Match[str]) -> str:
        index = int(found[1] or found[2])
        return arguments[index] if index < len(arguments) else ""

    words = [_ARGUMENT.sub(argument, word) for word in segment.words]
    block = None if segment.block is None else [_filled(one, arguments) for one in segment.block]
    return Segment(words, segment.place, block)
