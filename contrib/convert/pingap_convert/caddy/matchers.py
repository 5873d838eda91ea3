"""Matchers of Caddy: which requests a directive is for, and how two of them relate."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from pingap_convert.caddy.reader import Segment
from pingap_convert.result import escaped, is_supported_regex

_SPECIAL: Final = re.compile(r"[*?]")


@dataclass(frozen=True)
class Path:
    """A pattern of a path.

    :param kind: ``exact``, ``prefix`` or ``regex``.
    """

    kind: str
    text: str

    @classmethod
    def of(cls, pattern: str) -> Path:
        """Read a pattern such as ``/api/*``."""
        inside = pattern[:-1]
        if pattern.endswith("*") and not _SPECIAL.search(inside):
            return cls("prefix", inside)
        if not _SPECIAL.search(pattern):
            return cls("exact", pattern)
        if pattern.startswith("*") and not _SPECIAL.search(pattern[1:].rstrip("*")):
            end = "" if pattern.endswith("*") else "$"
            return cls("regex", escaped(pattern.strip("*")) + end)
        parts = [escaped(part) for part in pattern.split("*")]
        return cls("regex", f"^{'[^/]*'.join(parts)}$")

    def covers(self, other: Path) -> bool:
        """Return whether it certainly matches whatever the other one matches."""
        if self == other:
            return True
        is_inside = other.text.lower().startswith(self.text.lower())
        return self.kind == "prefix" and other.kind != "regex" and is_inside

    def is_apart_from(self, other: Path) -> bool:
        """Return whether no path certainly matches both."""
        known = "regex" not in (self.kind, other.kind)
        return known and not self.covers(other) and not other.covers(self)

    @property
    def regex(self) -> str:
        """An expression for it; Caddy ignores the case of paths."""
        if self.kind == "regex":
            return self.text
        return f"^{escaped(self.text)}{'$' if self.kind == 'exact' else ''}"

    @property
    def written(self) -> str:
        """It as a ``path`` of pingap."""
        if self.kind == "prefix" and self.text in ("", "/"):
            return ""
        if self.kind == "regex" or self.text.lower() != self.text.upper():
            return f"~(?i){self.regex}"
        return f"={self.text}" if self.kind == "exact" else self.text


@dataclass(frozen=True)
class Matcher:
    """What a request must have.

    :param paths: one of them must match; empty for any.
    :param conditions: keys of a location.
    """

    paths: tuple[Path, ...] = ()
    conditions: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def covers(self, other: Matcher) -> bool:
        """Return whether it certainly matches whatever the other one matches."""
        if not set(self.conditions) <= set(other.conditions):
            return False
        if not self.paths:
            return True
        return bool(other.paths) and all(
            any(own.covers(one) for own in self.paths) for one in other.paths
        )

    def is_apart_from(self, other: Matcher) -> bool:
        """Return whether no request certainly matches both."""
        pairs = [one.is_apart_from(two) for one in self.paths for two in other.paths]
        return bool(pairs) and all(pairs)

    def both(self, other: Matcher) -> Matcher | None:
        """Return what matches if both do; None if that cannot be written."""
        conditions = dict(self.conditions)
        for key, values in other.conditions:
            if key in conditions and (key in ("match_methods", "match_ips")):
                if conditions[key] != values:
                    return None
                continue
            conditions[key] = conditions.get(key, ()) + values
        paths = [*(self.paths or other.paths)]
        if self.paths and other.paths:
            paths = []
            for one in self.paths:
                for two in other.paths:
                    if one.covers(two):
                        paths.append(two)
                    elif two.covers(one):
                        paths.append(one)
                    elif not one.is_apart_from(two):
                        return None
            if not paths:
                return None
        return Matcher(tuple(dict.fromkeys(paths)), tuple(sorted(conditions.items())))

    @property
    def length(self) -> int:
        """How much it says about the path: Caddy sorts by it."""
        exact = any(path.kind == "exact" for path in self.paths)
        return 2 * max((len(path.text) for path in self.paths), default=-1) + exact

    def keys(self) -> dict[str, Any]:
        """Return the keys of a location."""
        table: dict[str, Any] = {key: list(values) for key, values in self.conditions}
        if len(self.paths) == 1 and (written := self.paths[0].written):
            table["path"] = written
        elif len(self.paths) > 1:
            table["path"] = f"~(?i)(?:{'|'.join(path.regex for path in self.paths)})"
        return table


@dataclass
class NamedMatchers:
    """The matchers that a site names.

    :param known: name with ``@`` -> matcher; None if it has no equivalent.
    """

    known: dict[str, Matcher | None] = field(default_factory=dict)

    def define(self, segment: Segment) -> str:
        """Read a definition; return why it has no equivalent, or an empty text."""
        parts = [Segment(segment.words[1:], segment.place)] if len(segment.words) > 1 else []
        found: Matcher | None = Matcher()
        for part in [*parts, *(segment.block or [])]:
            one = _condition(part)
            found = found.both(one) if found is not None and one is not None else None
            if found is None:
                self.known[segment.name] = None
                return f"{' '.join(part.words)} cannot be converted"
        self.known[segment.name] = found
        return ""


def _condition(part: Segment) -> Matcher | None:
    name, arguments = part.name, part.words[1:]
    if name == "path" and arguments:
        return Matcher(tuple(Path.of(one) for one in arguments))
    if name == "path_regexp" and arguments and is_supported_regex(arguments[-1]):
        return Matcher((Path("regex", arguments[-1]),))
    if name == "method" and arguments:
        return Matcher((), (("match_methods", tuple(one.upper() for one in arguments)),))
    if name in ("remote_ip", "client_ip") and not {"private_ranges", "forwarded"} & {*arguments}:
        return Matcher((), (("match_ips", tuple(arguments)),))
    if name == "header" and 1 <= len(arguments) <= 2:
        return _pair("match_headers", arguments[0], arguments[1] if len(arguments) > 1 else "*")
    if name == "query" and len(arguments) == 1 and "=" in arguments[0]:
        key, _, value = arguments[0].partition("=")
        return _pair("match_query", key, value)
    return None


def _pair(key: str, name: str, value: str) -> Matcher:
    if value == "*":
        written = name
    elif "*" in value:
        written = f"{name}:~^{'.*'.join(map(escaped, value.split('*')))}$"
    else:
        written = f"{name}:{value}"
    return Matcher((), ((key, (written,)),))
