"""What a location asks of a request: its path, its host, its conditions.

Each predicate answers one question on its own, so that `pingap.routing` can pick a location and
a person can be told why another one lost. Nothing is percent-decoded or normalised here.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias

from pingap.config.regex.pattern import Pattern

Captures: TypeAlias = Mapping[str, str]
CompileRegex: TypeAlias = Callable[[str], Pattern]

NO_CAPTURES: Final[Captures] = MappingProxyType({})
"""The answer of everything that matches without naming a group; shared and immutable."""


class RequestView(Protocol):
    """What conditions look at. It is asked only when a route has conditions."""

    @property
    def query(self) -> str:
        """The raw query, without ``?``; empty when there is none."""

    def header(self, name: str) -> str | None:
        """The value of a header, its lines as one list; ``name`` is given in lower case."""


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
    """Without the leading ``=`` or ``~``."""
    pattern: Pattern | None = None

    @classmethod
    def parse(cls, written: str | None, compile_regex: CompileRegex = re.compile) -> "PathMatcher":
        """Read a path as written in TOML.

        :raises ValueError: the regex is not one.
        """
        written = (written or "").strip()
        rest = written[1:].strip()
        if not written:
            return cls(PathKind.ANY, "")
        if written[0] == "=":
            return cls(PathKind.EXACT, rest)
        if written[0] == "~":
            return cls(PathKind.REGEX, rest, _compile(rest, compile_regex))
        return cls(PathKind.PREFIX, written)

    def match(self, path: str) -> Captures | None:
        """Compare with a raw request path.

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
    """A name in lower case, without ``*.``; or a regex, without ``~``."""
    pattern: Pattern | None = None

    @classmethod
    def parse(cls, written: str, compile_regex: CompileRegex = re.compile) -> "HostPiece":
        """Read one piece of a host list.

        :raises ValueError: the regex is not one, or a ``*`` is not part of one leading ``*.``.
        """
        written = written.strip()
        if written.startswith("~"):
            text = written[1:].strip()
            return cls(HostKind.REGEX, text, _compile(text, compile_regex))
        if "*" not in written:
            return cls(HostKind.EXACT, written.lower())
        name = written.removeprefix("*.")
        if not name or "*" in name:
            raise ValueError(f'host wildcard must be "*.name", found "{written}"')
        return cls(HostKind.WILDCARD, name.lower())

    def match(self, host: str) -> Captures | None:
        """Compare with the host of a request, as sent, without port.

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
    """The ``host`` of one location: a list of which one piece must match; empty means any host."""

    pieces: tuple[HostPiece, ...]

    @classmethod
    def parse(cls, written: str | None, compile_regex: CompileRegex = re.compile) -> "HostMatcher":
        """Read a host list as written in TOML (config.md, section 5.2).

        :raises ValueError: see `HostPiece.parse`.
        """
        return cls(tuple(HostPiece.parse(text, compile_regex) for text in host_pieces(written)))

    @property
    def has_regex(self) -> bool:
        """Whether some piece is a regex."""
        return any(piece.kind is HostKind.REGEX for piece in self.pieces)

    def match(self, host: str) -> Captures | None:
        """Compare with the host of a request, as sent, without port.

        :returns: what the first matching piece captured, ``None`` when no piece matches.
        """
        if not self.pieces:
            return NO_CAPTURES
        for piece in self.pieces:
            if (captures := piece.match(host)) is not None:
                return captures
        return None


class ConditionKind(Enum):
    """Where a condition looks (config.md, section 5.3)."""

    HEADER = "header"
    QUERY = "query"
    COOKIE = "cookie"


@dataclass(frozen=True, slots=True)
class Condition:
    """One entry of ``match_headers``, ``match_query`` or ``match_cookies``."""

    kind: ConditionKind
    name: str
    value: str | None
    """``None`` when it is enough that the name is present."""
    member: re.Pattern[str] | None = field(default=None, compare=False, repr=False)
    """Finds the value of a header in a list."""

    @classmethod
    def parse(cls, kind: ConditionKind, written: str) -> "Condition":
        """Read ``name`` or ``name:value`` (config.md, section 5.3).

        :raises ValueError: there is no name.
        """
        name, colon, value = (part.strip() for part in written.partition(":"))
        if not name:
            raise ValueError(
                f'{kind.value} condition must be "name" or "name:value", found "{written}"'
            )
        member = None
        if kind is ConditionKind.HEADER:
            name = name.lower()
            # (Fields are read as Latin-1, whatever they are.)
            text = re.escape(value.encode().decode("latin-1"))
            if value:
                member = re.compile(rf"^{text}\Z|^{text}[ \t]*,|,[ \t]*{text}[ \t]*(?:,|\Z)")
        return cls(kind, name, value if colon else None, member)

    def holds(self, request: RequestView) -> bool:
        """Ask a request.

        A header has the value if it is the whole of it or a member of the list that it is, on one
        line or several (RFC 9110, 5.3). Of several query parameters or cookies of one name the first
        counts.
        """
        found = self._find(request)
        if found is None or self.value is None or found == self.value:
            return found is not None
        return self.member is not None and self.member.search(found) is not None

    def _find(self, request: RequestView) -> str | None:
        if self.kind is ConditionKind.HEADER:
            return request.header(self.name)
        if self.kind is ConditionKind.QUERY:
            return _first_value(request.query.split("&"), self.name)
        cookies = request.header("cookie") or ""
        return _first_value((pair.strip() for pair in cookies.split(";")), self.name)


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
    # A group in a branch that was not taken is no variable.
    return {
        name: value for name, value in found.groupdict().items() if value is not None
    } or NO_CAPTURES


def _first_value(pairs: Iterable[str], name: str) -> str | None:
    """Find a name among ``name=value`` pairs; a name without ``=`` has an empty value."""
    for pair in pairs:
        found, _, value = pair.partition("=")
        if found == name:
            return value
    return None
