"""Chooses the location of a request: the one with the largest weight whose host, path and conditions match.

The predicates are in `pingap.proxy.matching` and `pingap.proxy.conditions`. The index here only finds, quickly, the few candidates worth
testing; it never contradicts the predicates. The rules are those of config.md, sections 5.4 and 5.5.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, Generic, Protocol, TypeVar

from pingap.http.errors import BadRequest
from pingap.proxy.conditions import Asked, ClientView, CompileRegex, RequestView
from pingap.proxy.matching import NO_CAPTURES, Captures, HostKind, PathKind
from pingap.proxy.routes import Candidate, Route, weight_of

T = TypeVar("T")

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
        ranked = sorted(routes, key=weight_of, reverse=True)  # still stable
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
