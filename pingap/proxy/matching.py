"""The path and the host of a location. Its other conditions are in `pingap.proxy.conditions`.

Each predicate is independent, so that `pingap.proxy.routing` can choose a location and `pingap explain` can
say why another one does not match. Paths and hosts of requests are normalised before (`pingap.http.paths`,
`pingap.http.hosts`); those of the configuration are normalised here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeAlias

from pingap.config.regex.pattern import Pattern
from pingap.http.hosts import normal_host
from pingap.http.paths import as_matched
from pingap.proxy.conditions import CompileRegex

Captures: TypeAlias = Mapping[str, str]

NO_CAPTURES: Final[Captures] = MappingProxyType({})
"""The result of a match without named groups; shared and immutable."""

_UPPER_CASE = re.compile("[A-Z]").search


class PathKind(Enum):
    """How a path text is compared (config.md, section 5.1)."""

    ANY = "any"
    EXACT = "exact"
    PREFIX = "prefix"
    REGEX = "regex"


@dataclass(frozen=True, slots=True)
class PathMatcher:
    """The ``path`` of one location (config.md, section 5.1)."""

    kind: PathKind
    text: str
    """Without the leading ``=`` or ``~``; normalised, unless it is a regex."""
    pattern: Pattern | None = None

    @classmethod
    def parse(
        cls,
        written: str | None,
        compile_regex: CompileRegex = re.compile,
        *,
        raw: bool = False,
    ) -> "PathMatcher":
        """Read a path as written in TOML.

        :param raw: the paths of requests are not normalised, so neither is this one.
        :raises ValueError: the regex is invalid.
        """
        normalise = str if raw else as_matched
        written = (written or "").strip()
        rest = written[1:].strip()
        if not written:
            return cls(PathKind.ANY, "")
        if written[0] == "=":
            return cls(PathKind.EXACT, normalise(rest))
        if written[0] == "~":
            return cls(PathKind.REGEX, rest, _compile(rest, compile_regex))
        return cls(PathKind.PREFIX, normalise(written))

    def match(self, path: str) -> Captures | None:
        """Compare with the path of a request.

        :returns: the named groups of a regex, `NO_CAPTURES` for the other kinds, ``None`` when
            the path does not match.
        """
        if self.pattern is not None:
            return _search(self.pattern, path)
        if self.kind is PathKind.EXACT:
            return NO_CAPTURES if path == self.text else None
        return NO_CAPTURES if path.startswith(self.text) else None  # ANY: the empty prefix


class HostKind(Enum):
    """How one piece of a host list is compared (config.md, section 5.2)."""

    EXACT = "exact"
    WILDCARD = "wildcard"
    REGEX = "regex"


@dataclass(frozen=True, slots=True)
class HostPiece:
    """One piece of a host list."""

    kind: HostKind
    text: str
    """A normalised name, without ``*.``; or a regex, without ``~``."""
    pattern: Pattern | None = None

    @classmethod
    def parse(cls, written: str, compile_regex: CompileRegex = re.compile) -> "HostPiece":
        """Read one piece of a host list.

        :raises ValueError: the regex is invalid, or a ``*`` is not part of a single leading ``*.``.
        """
        written = written.strip()
        if written.startswith("~"):
            text = written[1:].strip()
            # Hosts are in lower case; as in nginx, an expression that is not ignores case.
            flag = "(?i)" if _UPPER_CASE(text) else ""
            return cls(HostKind.REGEX, text, _compile(flag + text, compile_regex))
        if "*" not in written:
            return cls(HostKind.EXACT, normal_host(written))
        name = written.removeprefix("*.")
        if not name or "*" in name:
            raise ValueError(f'host wildcard must be "*.name", found "{written}"')
        return cls(HostKind.WILDCARD, normal_host(name))

    def match(self, host: str) -> Captures | None:
        """Compare with the host of a request, without port.

        :returns: the named groups of a regex, `NO_CAPTURES` for the other kinds, ``None`` when
            the host does not match.
        """
        if self.pattern is not None:
            return _search(self.pattern, host)
        name = host.lower()
        if self.kind is HostKind.EXACT:
            return NO_CAPTURES if name == self.text else None
        suffix = "." + self.text
        return NO_CAPTURES if name.endswith(suffix) and len(name) > len(suffix) else None


@dataclass(frozen=True, slots=True)
class HostMatcher:
    """The ``host`` of one location: a list, one piece of which must match; empty means any host."""

    pieces: tuple[HostPiece, ...]

    @classmethod
    def parse(cls, written: str | None, compile_regex: CompileRegex = re.compile) -> "HostMatcher":
        """Read a host list as written in TOML (config.md, section 5.2).

        :raises ValueError: see `HostPiece.parse`.
        """
        return cls(tuple(HostPiece.parse(text, compile_regex) for text in host_pieces(written)))

    @property
    def has_regex(self) -> bool:
        """Whether any piece is a regex."""
        return any(piece.kind is HostKind.REGEX for piece in self.pieces)

    def match(self, host: str) -> Captures | None:
        """Compare with the host of a request, without port.

        :returns: the captures of the first matching piece, ``None`` if no piece matches.
        """
        if not self.pieces:
            return NO_CAPTURES
        for piece in self.pieces:
            if (captures := piece.match(host)) is not None:
                return captures
        return None


def host_pieces(written: str | None) -> list[str]:
    """Split a host list as written in TOML; empty pieces are dropped (config.md, section 5.2)."""
    return [piece for text in (written or "").split(",") if (piece := text.strip())]


def _compile(text: str, compile_regex: CompileRegex) -> Pattern:
    try:
        return compile_regex(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f'"{text}" is not a regular expression: {error}') from error


def _search(pattern: Pattern, text: str) -> Captures | None:
    if (found := pattern.search(text)) is None:
        return None
    if not pattern.groupindex:
        return NO_CAPTURES
    # A group in a branch that did not match is not a variable.
    return {
        name: value for name, value in found.groupdict().items() if value is not None
    } or NO_CAPTURES
