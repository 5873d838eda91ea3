"""Converts the directives of a site to locations, in the order in which Caddy runs them.

Directives that answer are terminal; the others are modifiers, which apply to the answers whose requests they match. Where a
modifier matches only some of the requests of an answer, these get a location of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pingap_convert.caddy.answers import Answers
from pingap_convert.caddy.matchers import Matcher, NamedMatchers, Path
from pingap_convert.caddy.modifiers import GUARDS, MODIFIERS, Modifiers
from pingap_convert.caddy.reader import Segment
from pingap_convert.result import Result, Table

_ORDER: Final = {
    name: order
    for order, names in enumerate(
        (
            ("redir",),
            ("handle", "handle_path", "route"),
            ("abort",),
            ("error",),
            ("respond",),
            ("reverse_proxy",),
            ("php_fastcgi",),
            ("file_server",),
        )
    )
    for name in names
}
"""Terminal directive -> when Caddy runs it."""
_ELSEWHERE: Final = frozenset({"tls", "log", "bind"})
"""Directives of a site that are no part of its locations, or have no effect on them."""
Key = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Item:
    """A directive with everything around it.

    :param key: sorts terminal directives.
    :param scope: of which blocks it is part.
    :param strip: the prefix that ``handle_path`` removes.
    """

    segment: Segment
    arguments: tuple[str, ...]
    matcher: Matcher
    key: Key
    scope: tuple[int, ...]
    strip: str


def _restricts(segment: Segment) -> bool:
    """Return whether a directive refuses some requests: without it, more would be let in."""
    if segment.name in GUARDS or segment.name in ("abort", "error"):
        return True
    refuses = segment.name == "respond" and any(one[:1] in "45" for one in segment.words[1:])
    return refuses or any(map(_restricts, segment.block or ()))


class Site:
    """The locations of a site.

    :param label: begins the names of its tables.
    """

    def __init__(self, body: list[Segment], label: str, result: Result) -> None:
        self._label = label
        self._result = result
        self._named = NamedMatchers()
        self._answers: list[Item] = []
        self._modifiers: list[Item] = []
        self._closed: list[Matcher] = []
        self._blocks = 0
        self._collect(body, Matcher(), (), (), "")

    def close(self) -> None:
        """Refuse all requests."""
        self._closed.append(Matcher())

    def locations(self) -> list[tuple[str, Table]]:
        """Return name and table of each location, in the order in which they have to be tried."""
        found: dict[tuple[Matcher, Item], None] = {}
        for answer in self._answers:
            for matcher in self._split(answer):
                found[(matcher, answer)] = None
        order = sorted(found, key=lambda one: (one[1].key, -one[0].length, -len(one[0].conditions)))
        tables = [self._location(matcher, answer) for matcher, answer in order]
        for matcher in self._closed:
            closed = self._result.add(
                "plugins", f"{self._label}_closed", {"category": "mock", "status": 403}
            )
            tables.insert(0, (f"{self._label}_closed", {**matcher.keys(), "plugins": [closed]}))
        if not any(not matcher.keys() for matcher, _ in order):
            empty = self._result.add(
                "plugins", f"{self._label}_empty", {"category": "mock", "status": 200}
            )
            tables.append((f"{self._label}_rest", {"plugins": [empty]}))
        return tables

    def _collect(
        self, body: list[Segment], outer: Matcher, key: Key, scope: tuple[int, ...], strip: str
    ) -> None:
        for segment in body:
            if segment.name.startswith("@") and (why := self._named.define(segment)):
                self._result.leave_out(segment.place, segment.name, why)
        for segment in body:
            name = segment.name
            if name.startswith("@") or (name in _ELSEWHERE and not scope):
                continue
            if name not in _ORDER and name not in MODIFIERS:
                self._result.leave_out(segment.place, name, "there is no equivalent")
                continue
            self._take(segment, outer, key, scope, strip)

    def _take(
        self, segment: Segment, outer: Matcher, key: Key, scope: tuple[int, ...], strip: str
    ) -> None:
        own, arguments = self._matcher(segment, strip)
        matcher = outer.both(own) if own is not None else None
        name = segment.name
        if matcher is None:
            why = f"its matcher {segment.words[1]} cannot be converted"
            if _restricts(segment):
                why += ", so everything gets 403"
                self._closed.append(outer)
            self._result.leave_out(segment.place, name, why)
            return
        order = (_ORDER.get(name, 0), -matcher.length)
        if name in ("handle", "handle_path", "route"):
            self._blocks += 1
            if name == "handle_path" and segment.words[1:]:
                strip += segment.words[1].rstrip("*").rstrip("/")
            inner = (*scope, self._blocks)
            self._collect(segment.block or [], matcher, (*key, order), inner, strip)
            return
        item = Item(segment, tuple(arguments), matcher, (*key, order), scope, strip)
        (self._answers if name in _ORDER else self._modifiers).append(item)

    def _matcher(self, segment: Segment, strip: str) -> tuple[Matcher | None, list[str]]:
        """Return the matcher of a directive, and the arguments after it."""
        arguments = segment.words[1:]
        first = arguments[0] if arguments else ""
        if first == "*":
            return Matcher(), arguments[1:]
        if first.startswith("@"):
            return self._named.known.get(first), arguments[1:]
        takes_path = segment.name not in ("redir", "root", "rewrite") or len(arguments) > 1
        if first.startswith("/") and takes_path:
            return Matcher((Path.of(strip + first),)), arguments[1:]
        return Matcher(), arguments

    def _split(self, answer: Item) -> Iterator[Matcher]:
        """Yield the matcher of an answer, and narrower ones where a modifier applies to a part."""
        yield answer.matcher
        for modifier in self._around(answer):
            if modifier.matcher.covers(answer.matcher) or modifier.matcher.is_apart_from(
                answer.matcher
            ):
                continue
            narrower = answer.matcher.both(modifier.matcher)
            if narrower is not None:
                yield narrower
                continue
            why = f"it cannot be combined with {' '.join(answer.segment.words[:2])}"
            if modifier.segment.name in GUARDS:
                why += ", so everything that it is for gets 403"
                self._closed.append(modifier.matcher)
            self._result.leave_out(modifier.segment.place, modifier.segment.name, why)

    def _around(self, answer: Item) -> Iterator[Item]:
        for modifier in self._modifiers:
            if answer.scope[: len(modifier.scope)] == modifier.scope:
                yield modifier

    def _location(self, matcher: Matcher, answer: Item) -> tuple[str, Table]:
        name = "_".join([self._label, *(path.text.strip("/") for path in matcher.paths)])
        table: Table = {**matcher.keys(), "plugins": []}
        modifiers = [one for one in self._around(answer) if one.matcher.covers(matcher)]
        applied = Modifiers(self._result, name)
        for one in modifiers:
            applied.apply(one.segment, one.arguments, table)
        if answer.strip:
            applied.strip(answer.strip, table)
        Answers(self._result, name).add(answer.segment, answer.arguments, table, applied)
        if not table["plugins"]:
            del table["plugins"]
        return name, table
