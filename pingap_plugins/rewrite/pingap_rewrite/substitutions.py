"""The rules of ``sub_filter``: text and regular expressions, with their replacements. Nothing here does IO.

sub_filter 'TEXT' 'REPLACEMENT' [flags]
subs_filter 'REGEX' 'REPLACEMENT' [flags]
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from pingap_rewrite.rule import compile_expression
from pingap_rewrite.template import Template

MOST_TEXT: Final = 4096
"""Bytes that a text to be found may have: so many are kept while a body passes."""
_QUOTED: Final = r"""(?:'([^']*)'|"([^"]*)")"""
_ENTRY: Final = re.compile(
    rf"\s*(subs?_filter)\s+{_QUOTED}\s+{_QUOTED}(?:\s+([^\s;]+))?\s*;?\s*", re.DOTALL
)
_EXPECTED: Final = (
    "expected sub_filter 'TEXT' 'REPLACEMENT' or subs_filter 'REGEX' 'REPLACEMENT', and flags i, g"
)


@dataclass(frozen=True, slots=True)
class TextRule:
    """Replaces a text.

    :param text: what is found.
    :param ignores_case: of ASCII letters.
    :param every: all occurrences are replaced, instead of the first.
    """

    text: str
    replacement: str
    ignores_case: bool
    every: bool

    def apply(self, value: str) -> str:
        """Return a text with the replacements."""
        count = 0 if self.every else 1
        flags = re.IGNORECASE | re.ASCII if self.ignores_case else 0
        return re.sub(
            re.escape(self.text), lambda _: self.replacement, value, count=count, flags=flags
        )


@dataclass(frozen=True, slots=True)
class RegexRule:
    """Replaces the matches of an expression.

    :param every: all matches are replaced, instead of the first.
    """

    pattern: Any
    template: Template
    every: bool

    def apply(self, value: str) -> str:
        """Return a text with the replacements."""
        made: list[str] = []
        at = 0
        for match in self.pattern.finditer(value):
            made += (value[at : match.start()], self.expand(match, value))
            at = match.end()
            if not self.every:
                break
        return "".join([*made, value[at:]])

    def expand(self, match: Any, text: str) -> str:
        """Return the replacement of a match.

        :param text: in which it was found. (The expression may have seen another character for a byte.)
        """

        def lookup(name: str) -> str:
            begin, end = match.span(int(name) if name.isdecimal() else name)
            return text[begin:end] if begin >= 0 else ""

        return self.template.expand(lookup)


Rule = TextRule | RegexRule


def parse_rule(entry: str) -> Rule:
    """Read an entry of ``filters``.

    :raises ValueError: it is invalid; the message is for the operator.
    """
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise ValueError(f'found "{entry[:100]}", {_EXPECTED}')
    find = match[2] if match[2] is not None else match[3]
    replacement = match[4] if match[4] is not None else match[5]
    flags = match[6] or ""
    if wrong := re.sub("[ig]", "", flags):
        raise ValueError(f'found the flags "{flags}", expected i and g: "{wrong}" is unknown')
    if not find:
        raise ValueError(f'found "{entry[:100]}", which looks for an empty text')
    if match[1] == "sub_filter":
        if len(find.encode()) > MOST_TEXT:
            raise ValueError(f"the text to be found is longer than {MOST_TEXT} bytes")
        return TextRule(find, replacement, "i" in flags, "g" in flags)
    pattern = compile_expression(f"(?i){find}" if "i" in flags else find)
    template = Template(replacement)
    template.check(pattern)
    return RegexRule(pattern, template, "g" in flags)
