"""What applies one rule to a body that passes in chunks, with bounded memory. Nothing here does IO.

The result does not depend on where the chunks end.
"""

from __future__ import annotations

import codecs
from itertools import accumulate
from typing import Final, Protocol

from pingap_rewrite.charsets import ESCAPE, writable
from pingap_rewrite.substitutions import RegexRule, TextRule

MOST_GROWTH: Final = 16 * 1024 * 1024
"""Bytes that the replacements of one chunk may add."""


class GrowthError(Exception):
    """The replacements make a body too large."""


class Stage(Protocol):
    """Applies one rule."""

    @property
    def replaced(self) -> int:
        """Occurrences that were replaced."""

    @property
    def pending(self) -> int:
        """Bytes or characters that are kept."""

    def feed(self, data: bytes) -> bytes:
        """Take a chunk; return what is certain."""

    def end(self) -> bytes:
        """Return the rest."""


class TextStage:
    """Replaces a text. Keeps what may be the beginning of an occurrence, less than its length.

    :param codec: of the body.
    :param markup: the body is HTML or XML.
    """

    def __init__(self, rule: TextRule, codec: str, *, markup: bool) -> None:
        self.replaced: int = 0
        self._rule = rule
        self._kept = b""
        self._done = False
        try:
            self._find = self._fold(rule.text.encode(codec), rule)
        except UnicodeEncodeError:  # no body in this character set has the text
            self._done = True
        self._replacement = writable(rule.replacement, codec, markup=markup).encode(codec)

    @property
    def pending(self) -> int:
        """Bytes that are kept."""
        return len(self._kept)

    def feed(self, data: bytes) -> bytes:
        """Take a chunk; return what is certain."""
        if self._done:
            return data
        data = self._kept + data if self._kept else data
        folded = self._fold(data, self._rule)
        parts = self._split(data, folded)
        if len(parts) > 1:
            self.replaced += len(parts) - 1
            check_growth((len(parts) - 1) * len(self._replacement))
            self._done = not self._rule.every
        last = parts[-1]
        keep = 0 if self._done else self._beginning(folded[len(data) - len(last) :])
        self._kept = last[len(last) - keep :]
        parts[-1] = last[: len(last) - keep]
        return self._replacement.join(parts)

    def end(self) -> bytes:
        """Return the rest, which is no occurrence."""
        kept, self._kept = self._kept, b""
        return kept

    def _split(self, data: bytes, folded: bytes) -> list[bytes]:
        """Return what is between the occurrences."""
        parts = folded.split(self._find, -1 if self._rule.every else 1)
        if folded is data:
            return parts
        ends = accumulate(len(part) + len(self._find) for part in parts)
        return [
            data[end - len(self._find) - len(part) : end - len(self._find)]
            for part, end in zip(parts, ends, strict=True)
        ]

    def _beginning(self, folded: bytes) -> int:
        """Return the length of the longest end of a text that an occurrence may begin with."""
        find = self._find
        at = max(0, len(folded) - len(find) + 1)
        while (at := folded.find(find[:1], at)) >= 0:
            if find.startswith(folded[at:]):
                return len(folded) - at
            at += 1
        return 0

    @staticmethod
    def _fold(data: bytes, rule: TextRule) -> bytes:
        return data.lower() if rule.ignores_case else data  # (of ASCII letters only)


class Windows:
    """Replaces matches of an expression in a text of any length, which it sees a window at a time.

    From a position on, as many characters as a window has are looked at, and matches that begin in its first half
    are replaced; then the position moves there. So a match with at most half as many characters is always found.

    :param size: characters of a window.
    """

    def __init__(self, rule: RegexRule, size: int) -> None:
        self.replaced = 0
        self.done = False
        self.pending = 0
        self._rule = rule
        self._size = size
        self._pieces: list[str] = []
        self._before = ""  # the last character of what was handled: for anchors and word boundaries

    def feed(self, text: str) -> str:
        """Take a piece; return what is certain."""
        if self.done:
            return text
        self._pieces.append(text)
        self.pending += len(text)
        if self.pending < self._size:
            return ""
        text = "".join(self._pieces)
        made: list[str] = []
        at, added = 0, 0
        while not self.done and len(text) - at >= self._size:
            at, added = self._step(text, at, self._size, made, added)
        if self.done:
            made.append(text[at:])
            at = len(text)
        self._pieces = [text[at:]]
        self.pending = len(text) - at
        return "".join(made)

    def end(self) -> str:
        """Handle the rest; what comes then is a new text."""
        text, at = "".join(self._pieces), 0
        made: list[str] = []
        if not self.done:
            at, _ = self._step(text, 0, len(text) + 1, made, 0)
        made.append(text[at:])
        self._pieces, self._before, self.pending = [], "", 0
        return "".join(made)

    def _step(
        self, text: str, begin: int, size: int, made: list[str], added: int
    ) -> tuple[int, int]:
        """Handle a window; return where the next one begins, and the growth so far."""
        is_last = begin + size > len(text)
        window = self._before + text[begin : begin + size]
        first = len(self._before)
        limit = len(window) + 1 if is_last else first + size // 2
        at, constant = first, self._rule.template.constant
        for match in self._rule.pattern.finditer(window, first):
            if match.start() >= limit:
                break
            replacement = constant if constant is not None else self._rule.expand(match, window)
            added += len(replacement)
            if added > MOST_GROWTH:
                check_growth(added)
            made += (window[at : match.start()], replacement)
            at = match.end()
            self.replaced += 1
            if not self._rule.every:
                self.done = True
                break
        if not self.done and not is_last and at < limit:
            made.append(window[at:limit])
            at = limit
        self._before = window[at - 1 : at]
        return begin + at - first, added


class RegexStage:
    """Replaces matches of an expression in bytes.

    :param codec: of the body; bytes that are invalid in it pass as they are.
    :param window: characters that are looked at at once.
    :param by_line: each line is a text of its own, and leaves when it is complete.
    """

    def __init__(
        self, rule: RegexRule, codec: str, *, window: int, by_line: bool, markup: bool
    ) -> None:
        template = rule.template.changed(lambda text: writable(text, codec, markup=markup))
        rule = RegexRule(rule.pattern, template, rule.every)
        self._windows = Windows(rule, window)
        self._codec = codec
        self._decoder = codecs.getincrementaldecoder(codec)(ESCAPE)
        self._by_line = by_line

    @property
    def replaced(self) -> int:
        """Matches that were replaced."""
        return self._windows.replaced

    @property
    def pending(self) -> int:
        """Characters that are kept."""
        return self._windows.pending

    def feed(self, data: bytes) -> bytes:
        """Take a chunk; return what is certain."""
        text = self._decoder.decode(data)
        made = self._lines(text) if self._by_line else self._windows.feed(text)
        return made.encode(self._codec, ESCAPE)

    def end(self) -> bytes:
        """Return the rest."""
        made = self._windows.feed(self._decoder.decode(b"", True)) + self._windows.end()
        return made.encode(self._codec, ESCAPE)

    def _lines(self, text: str) -> str:
        *lines, rest = text.split("\n")
        made: list[str] = []
        for line in lines:
            made += (self._windows.feed(line + "\n"), self._windows.end())
        made.append(self._windows.feed(rest) if rest else "")
        return "".join(made)


def check_growth(size: int) -> None:
    """Check what replacements add to a body.

    :raises GrowthError: it is too much.
    """
    if size > MOST_GROWTH:
        raise GrowthError(f"the replacements in one chunk have more than {MOST_GROWTH} bytes")
