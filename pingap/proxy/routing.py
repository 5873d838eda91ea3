"""Chooses the location of a request: the one with the largest weight whose host, path and conditions match.

The predicates are in `pingap.proxy.matching` and `pingap.proxy.conditions`. The index here only finds, quickly, the few candidates worth
testing; it never contradicts the predicates. The rules are those of config.md, sections 5.4 and 5.5.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from pingap.http.errors import BadRequest
from pingap.http.networks import Network
from pingap.proxy.conditions import (
    Asked,
    ClientCondition,
    ClientView,
    CompileRegex,
    Condition,
    ConditionKind,
    MethodCondition,
    RequestView,
    value_conditions,
)
from pingap.proxy.matching import (
    NO_CAPTURES,
    Captures,
    HostKind,
    HostMatcher,
    PathKind,
    PathMatcher,
    host_pieces,
)

__all__ = [
    "NO_CAPTURES",
    "Candidate",
    "Captures",
    "CompileRegex",
    "RequestView",
    "Route",
    "Router",
    "computed_weight",
]

T = TypeVar("T")

MAX_LENGTH_WEIGHT: Final = 64
"""Maximum contribution of the path length to the weight."""


# Not slots=True: with it, `Route[int](...)` is a TypeError on Python 3.11 (frozen, generic).
@dataclass(frozen=True, kw_only=True)
class Route(Generic[T]):
    """The properties of a location for the router, as written in TOML (config.md, section 5)."""

    target: T
    """Returned when the route is chosen; never examined."""
    path: str | None = None
    host: str | None = None
    weight: int | None = None
    """``None`` means `computed_weight`; 0 is a weight like any other."""
    match_headers: tuple[str, ...] = ()
    match_query: tuple[str, ...] = ()
    match_cookies: tuple[str, ...] = ()
    match_methods: tuple[str, ...] = ()
    match_ips: tuple[Network, ...] = ()


def computed_weight(path: str | None, host: str | None) -> int:
    """Compute the weight of a route without an explicit one (config.md, section 5.4).

    Both texts count without outer white space. A comma-separated list that contains a regex anywhere is a
    regex host.

    :returns: the weight; routes with larger weights are tested first.
    """
    weight = 0
    path_text = (path or "").strip()
    if len(path_text) > 1:
        weight += {"=": 1024, "~": 256}.get(path_text[0], 512)
        weight += min(len(path_text), MAX_LENGTH_WEIGHT)
    pieces = host_pieces(host)
    if any(piece.startswith("~") for piece in pieces):
        weight += len((host or "").strip())
    elif pieces:
        weight += 128
    return weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(Generic[T]):
    """A parsed route: its rank, and its predicates."""

    target: T
    rank: int
    """0 is tested first."""
    weight: int
    host: HostMatcher
    path: PathMatcher
    conditions: tuple[Condition, ...]
    decided_by_index: bool
    """Whether being found in the index is already a match: no regex and no condition."""

    @classmethod
    def parse(
        cls, route: Route[T], rank: int, compile_regex: CompileRegex, *, raw: bool = False
    ) -> "Candidate[T]":
        """Parse the texts of a route.

        :param raw: see `Router`.
        :raises ValueError: a host, path or condition is invalid.
        """
        host = HostMatcher.parse(route.host, compile_regex)
        path = PathMatcher.parse(route.path, compile_regex, raw=raw)
        conditions = _conditions(route, compile_regex)
        return cls(
            target=route.target,
            rank=rank,
            weight=_weight(route),
            host=host,
            path=path,
            conditions=conditions,
            decided_by_index=not (host.has_regex or path.kind is PathKind.REGEX or conditions),
        )

    def match(self, host: str, path: str, asked: Asked | None) -> Captures | None:
        """Test all predicates.

        :param asked: the request; only needed if there are conditions.
        :returns: the named groups, those of the host over those of the path; ``None`` if a predicate does not
            match.
        """
        if (of_host := self.host.match(host)) is None:
            return None
        if (of_path := self.path.match(path)) is None:
            return None
        for condition in self.conditions:
            if asked is None or not condition.holds(asked):
                return None
        return {**of_path, **of_host} if of_host and of_path else of_host or of_path


_MOST_KNOWN: Final = 4096
_LONGEST_KNOWN: Final = 256
"""Number of cached results, which depend on host and path only, and maximum length of their paths."""


class _PathIndex(Generic[T]):
    """The candidates of one host name, found by path."""

    __slots__ = ("_exact", "_others", "_parents", "_prefixed", "_prefixes")

    def __init__(self, candidates: Sequence[Candidate[T]]) -> None:
        self._exact: dict[str, list[Candidate[T]]] = {}
        self._others: list[Candidate[T]] = []  # any path, and regexes
        prefixed: dict[str, list[Candidate[T]]] = {}
        for candidate in candidates:
            if candidate.path.kind is PathKind.EXACT:
                self._exact.setdefault(candidate.path.text, []).append(candidate)
            elif candidate.path.kind is PathKind.PREFIX:
                prefixed.setdefault(candidate.path.text, []).append(candidate)
            else:
                self._others.append(candidate)
        self._prefixes = sorted(prefixed)
        self._prefixed = [prefixed[prefix] for prefix in self._prefixes]
        self._parents = _parents(self._prefixes)

    def collect(self, path: str, groups: list[list[Candidate[T]]]) -> None:
        """Add the candidates that may match a path, in groups of ascending rank."""
        if path in self._exact:
            groups.append(self._exact[path])
        # A prefix of the path sorts before the path, and so does everything between the two, which begins
        # with that prefix as well. So all prefixes of the path are among the last text that does not sort
        # after the path, and the prefixes of that text.
        at = bisect_right(self._prefixes, path) - 1
        while at >= 0:
            if path.startswith(self._prefixes[at]):
                groups.append(self._prefixed[at])
            at = self._parents[at]
        if self._others:
            groups.append(self._others)


class Router(Generic[T]):
    """The candidate locations of one server (config.md, section 5.5).

    Routes are sorted by weight, the largest first, equal ones in the given order; the first one whose host,
    path and conditions all match is chosen.

    :param routes: the locations in the order in which the server lists them.
    :param compile_regex: compiles the regexes of hosts and paths.
    :param raw: the paths of requests are not normalised (``servers.*.path_matching``).
    :raises ValueError: a host, path or condition is invalid.
    """

    def __init__(
        self,
        routes: Sequence[Route[T]],
        compile_regex: CompileRegex = re.compile,
        *,
        raw: bool = False,
    ) -> None:
        ranked = sorted(routes, key=_weight, reverse=True)  # still stable
        self.candidates: Final = tuple(
            Candidate.parse(route, rank, compile_regex, raw=raw)
            for rank, route in enumerate(ranked)
        )
        anywhere = []
        by_name: dict[HostKind, dict[str, list[Candidate[T]]]] = {
            HostKind.EXACT: {},
            HostKind.WILDCARD: {},
        }
        for candidate in self.candidates:
            if not candidate.host.pieces or candidate.host.has_regex:
                anywhere.append(candidate)
                continue
            for piece in dict.fromkeys(candidate.host.pieces):
                by_name[piece.kind].setdefault(piece.text, []).append(candidate)
        self._known: dict[tuple[str, str], tuple[T, Captures]] = {}
        self._anywhere = _PathIndex(anywhere)
        self._exact = {n: _PathIndex(found) for n, found in by_name[HostKind.EXACT].items()}
        self._wildcard = {n: _PathIndex(found) for n, found in by_name[HostKind.WILDCARD].items()}
        self._longest_wildcard = max(map(len, self._wildcard), default=0)
        self._shortest_wildcard = min(map(len, self._wildcard), default=0)

    def parts(self) -> Iterator[object]:
        """Yield the objects of which there is about one per route."""
        yield from self.candidates
        yield from self._exact.values()
        yield from self._wildcard.values()

    def match(
        self, host: str, path: str, request: RequestView, client: ClientView | None = None
    ) -> tuple[T, Captures] | None:
        """Choose the location of a request.

        :param host: normalised, without port; empty if the request has none.
        :param path: normalised unless the router is ``raw``, without query.
        :param request: only read by routes with conditions.
        :param client: only asked for routes with ``match_ips``.
        :returns: the target of the chosen route and the named groups of its host and path regexes
            (`NO_CAPTURES` if there are none); ``None`` if no route matches.
        """
        if (known := self._known.get((host, path))) is not None:
            return known
        best = None
        best_rank = len(self.candidates)
        best_captures = NO_CAPTURES
        certain = len(path) <= _LONGEST_KNOWN
        asked: Asked | None = None
        for group in self._groups(host, path):
            for candidate in group:
                if candidate.rank >= best_rank:
                    break
                captures: Captures | None = NO_CAPTURES
                if not candidate.decided_by_index:
                    certain = False
                    if candidate.conditions and asked is None:
                        asked = Asked(request, client)
                    captures = candidate.match(host, path, asked)
                if captures is not None:
                    best, best_rank, best_captures = candidate, candidate.rank, captures
                    break
        if best is None:
            return None
        if certain and len(self._known) < _MOST_KNOWN:
            self._known[host, path] = best.target, best_captures
        return best.target, best_captures

    def _groups(self, host: str, path: str) -> list[list[Candidate[T]]]:
        """Find the candidates worth testing, in a few groups of ascending rank."""
        groups: list[list[Candidate[T]]] = []
        if self._exact or self._wildcard:
            name = host.lower()
            if name in self._exact:
                self._exact[name].collect(path, groups)
            if self._wildcard:
                self._collect_wildcards(name, path, groups)
        self._anywhere.collect(path, groups)
        return groups

    def _collect_wildcards(self, name: str, path: str, groups: list[list[Candidate[T]]]) -> None:
        """Look up the part after each dot that has at least one character before it.

        Only between the longest and the shortest wildcard, so that the loop is short for any host of a
        client.
        """
        start = max(1, len(name) - self._longest_wildcard - 1)
        stop = len(name) - self._shortest_wildcard
        while (dot := name.find(".", start, stop)) > 0:
            start = dot + 1
            if (suffix := name[start:]) in self._wildcard:
                self._wildcard[suffix].collect(path, groups)


class AmbiguousView(RequestView, Protocol):
    """A request whose path backends may read in several ways (``servers.*.allow_in_paths``)."""

    @property
    def other_paths(self) -> Sequence[str]:
        """Its other paths."""


class CarefulRouter(Router[T]):
    """The router of a server that accepts such requests: every reading must lead to the same location.

    Otherwise the upstream could serve a path that another location guards.
    """

    def match(  # type: ignore[override]
        self, host: str, path: str, request: AmbiguousView, client: ClientView | None = None
    ) -> tuple[T, Captures] | None:
        """Choose the location of a request.

        :raises BadRequest: its readings lead to different locations.
        """
        found = super().match(host, path, request, client)
        for other in request.other_paths:
            again = super().match(host, other, request, client)
            if (again and again[0]) is not (found and found[0]):
                raise BadRequest("The path can be read in several ways")
        return found


def _conditions(route: Route[T], compile_regex: CompileRegex) -> tuple[Condition, ...]:
    lists = (
        (ConditionKind.HEADER, route.match_headers),
        (ConditionKind.QUERY, route.match_query),
        (ConditionKind.COOKIE, route.match_cookies),
    )
    found: list[Condition] = []
    if route.match_methods:
        found.append(MethodCondition(frozenset(route.match_methods)))
    if route.match_ips:
        found.append(ClientCondition(route.match_ips))
    for kind, entries in lists:
        found += value_conditions(kind, entries, compile_regex)
    return tuple(found)


def _weight(route: Route[T]) -> int:
    return computed_weight(route.path, route.host) if route.weight is None else route.weight


def _parents(texts: Sequence[str]) -> list[int]:
    """Return for each sorted text the index of the longest other one that is its prefix, or -1."""
    parents = []
    above: list[int] = []  # the last text and its prefixes, shortest first
    for at, text in enumerate(texts):
        while above and not text.startswith(texts[above[-1]]):
            above.pop()
        parents.append(above[-1] if above else -1)
        above.append(at)
    return parents
