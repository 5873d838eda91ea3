"""The locations of a server as the router sees them: their predicates and their weights.

The rules are those of config.md, section 5.4.
"""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from pingap.http.networks import Network
from pingap.proxy.conditions import (
    Asked,
    ClientCondition,
    CompileRegex,
    Condition,
    ConditionKind,
    MethodCondition,
    value_conditions,
)
from pingap.proxy.matching import Captures, HostMatcher, PathKind, PathMatcher, host_pieces

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
            weight=weight_of(route),
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


def weight_of(route: Route[T]) -> int:
    """Return the weight of a route, given or computed."""
    return computed_weight(route.path, route.host) if route.weight is None else route.weight
