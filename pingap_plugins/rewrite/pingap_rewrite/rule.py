"""Rules for paths: ``REGEX REPLACEMENT``. Nothing here does IO.

The path that a rule gets is normalised, so only escapes that would change its meaning are left in it. What a rule
returns consists of characters of RFC 3986 (3.3, 3.4), escapes, and characters beyond ASCII, which
``Request.rewrite`` escapes as UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from pingap import Regex
from pingap_rewrite.template import Reference, Template, group

_REGEX: Final[TypeAdapter[Any]] = TypeAdapter(Regex)
_EVERYTHING: Final = ".*"
_EXPECTED: Final = (
    'expected "REGEX REPLACEMENT", separated by a space; write a space in a path as %20'
)
_NOT_IN_PATH: Final = re.compile(
    r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9._~!$&'()*+,;=:@/%\x80-\U0010ffff-]"
)
_NOT_IN_QUERY: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9._~!$'()*,:@/?%-]")
"""What is escaped in a captured text: also ``&``, ``=``, ``+`` and ``;``, which separate parameters."""
_SEPARATOR: Final = r"(?:[/\\]|%2[fF]|%5[cC])"
DOTS: Final = re.compile(rf"(?:^|{_SEPARATOR})(?:\.|%2[eE]){{1,2}}(?={_SEPARATOR}|[;?]|$)")
_SLASHES: Final = re.compile("^/*")


class DotSegmentError(Exception):
    """A captured text has become a dot segment, so the path leaves the place that the rule gives it."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The result of a rule.

    :param path: the new path; as it was, if the rule does not change it.
    :param query: what the replacement has behind ``?``; empty if it has nothing there.
    :param keeps_query: the query of the request is kept, behind that.
    """

    path: str
    query: str = ""
    keeps_query: bool = True
    groups: Mapping[str, str] = field(default_factory=dict)
    """The named groups of the expression."""

    def query_with(self, sent: str) -> str:
        """Return the new query.

        :param sent: the query of the request.
        """
        return "&".join(filter(None, (self.query, sent if self.keeps_query else "")))


def compile_expression(text: str) -> Any:
    """Compile an expression of the configuration.

    :raises ValueError: it is invalid; the message is for the operator.
    """
    try:
        return _REGEX.validate_python(text)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


class Rule:
    """The value of the key ``rewrite``.

    :param text: as written: an expression and a replacement; an expression alone, whose first match is removed; or a
        replacement with ``$`` alone, for the whole path.
    :raises ValueError: it is invalid; the message is for the operator.
    """

    def __init__(self, text: str) -> None:
        words = text.split()
        if not 1 <= len(words) <= 2:
            raise ValueError(f'found "{text}", {_EXPECTED}')
        if len(words) == 1:
            words = [_EVERYTHING, words[0]] if "$" in words[0] else [words[0], ""]
            if words[1] and not words[1].startswith("/"):
                raise ValueError(
                    f'found "{text}", which replaces the whole path because it has a "$", but does not'
                    f' begin with "/"; {_EXPECTED}'
                )
        self.pattern = compile_expression(words[0])
        self.replacement = words[1]
        path, mark, query = words[1].partition("?")
        self._path = Template(path)
        self._keeps_query = not mark or bool(query)
        self._query = Template(query)
        self._check_text(self._path, _NOT_IN_PATH, "path")
        self._check_text(
            self._query, re.compile(_NOT_IN_PATH.pattern.replace("/%", "/?%")), "query"
        )
        if DOTS.search("".join(one if isinstance(one, str) else "x" for one in self._path.parts)):
            raise ValueError(f'the replacement "{path}" has a segment "." or ".."')

    @property
    def names(self) -> list[str]:
        """What the replacement refers to."""
        return [*self._path.names, *self._query.names]

    def check(self, captured: Collection[str]) -> None:
        """Check that all groups exist.

        :param captured: names of the groups of the location's path and host.
        :raises ValueError: one does not.
        """
        for template in (self._path, self._query):
            template.check(self.pattern, captured)

    def apply(self, path: str, captures: Mapping[str, str]) -> Rewritten | None:
        """Replace the first match.

        :param path: normalised.
        :param captures: the groups of the location's path and host.
        :returns: None if the expression does not match.
        :raises DotSegmentError: the new path has a dot segment that the old one has not.
        """
        match = self.pattern.search(path)
        if match is None:
            return None
        groups = self.pattern.groupindex

        def lookup(name: str) -> str:
            if name.isdecimal() or name in groups:
                return group(match, name)
            return captures.get(name, "")

        middle = self._path.expand(lookup)
        changed = f"{path[: match.start()]}{middle}{path[match.end() :]}"
        if changed != path:
            changed = _SLASHES.sub("/", _escaped(_NOT_IN_PATH, changed))
            if DOTS.search(changed) and not DOTS.search(path):
                raise DotSegmentError
        query = self._query.expand(lambda name: _escaped(_NOT_IN_QUERY, lookup(name)))
        named = {name: group(match, name) for name in groups}
        return Rewritten(changed, _escaped_bytes(query), self._keeps_query, named)

    def _check_text(self, template: Template, wrong: re.Pattern[str], part: str) -> None:
        for one in template.parts:
            if isinstance(one, str) and (found := wrong.search(one)):
                text = "".join(x if isinstance(x, str) else "$" + x.name for x in template.parts)
                raise ValueError(
                    f'"{found[0]}" is invalid in a {part}, in the replacement "{text}"; escape it:'
                    f" {quote(found[0])}"
                )


def bare_names(rule: Rule, captured: Collection[str]) -> list[str]:
    """Return the captured names that stand without ``$`` as a segment of the replacement.

    pingap 0.13.9 replaces names there, so this may be meant.
    """
    segments: set[str] = set()
    for part in Template(rule.replacement).parts:
        if not isinstance(part, Reference):
            segments.update(re.split("[/?&=]", part))
    return [name for name in captured if name in segments]


def _escaped(wrong: re.Pattern[str], text: str) -> str:
    quoted: Callable[[re.Match[str]], str] = lambda found: quote(found[0], safe="")  # noqa: E731
    return wrong.sub(quoted, text)


def _escaped_bytes(query: str) -> str:
    return query if query.isascii() else quote(query, safe=_ASCII)


_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))
