"""Locations that never get a request, because one of the server with a larger weight gets all of theirs.

Only certain cases are reported: whether one regex matches everything that another one matches is not checked.
"""

from __future__ import annotations

from collections.abc import Iterator

from pingap.build.runtime import Runtime
from pingap.http.paths import as_matched
from pingap.inspection.finding import Finding, finding
from pingap.proxy.matching import HostKind, HostMatcher, HostPiece, PathKind, PathMatcher
from pingap.proxy.routes import Candidate
from pingap.proxy.runtime import LocationRuntime

Route = Candidate[LocationRuntime]


def dead_routes(runtime: Runtime) -> Iterator[Finding]:
    """``dead-route``: a location that is shadowed by one with a larger weight."""
    for name, server in runtime.servers.items():
        metrics = runtime.config.servers[name].prometheus_metrics
        for candidate in server.router.candidates:
            if metrics and _is_exactly(candidate.path, as_matched(metrics)):
                path = ("locations", candidate.target.name)
                text = f"{_NEVER} on the server {name}: prometheus_metrics has this path"
                yield finding(runtime, "dead-route", path, text, _FIX)
                continue
            heavier = server.router.candidates[: candidate.rank]
            shadow = next((one for one in heavier if _shadows(one, candidate)), None)
            if shadow is not None:
                path = ("locations", candidate.target.name)
                yield finding(runtime, "dead-route", path, _message(name, candidate, shadow), _FIX)


_NEVER = "never gets a request"
_FIX = "give it a larger weight or a narrower path, or take it off the server"


def _message(server: str, route: Route, shadow: Route) -> str:
    order = "and comes first" if shadow.weight == route.weight else "and is heavier"
    by = f'"{shadow.target.name}" takes all its requests, {order}'
    by += f" ({shadow.weight}, this one {route.weight})"
    rest = " but OPTIONS *" if _all_but_asterisk(shadow.path, route.path) else ""
    return f"{_NEVER}{rest} on the server {server}: {by}"


def _is_exactly(path: PathMatcher, text: str) -> bool:
    return path.kind is PathKind.EXACT and path.text == text


def _shadows(heavier: Route, route: Route) -> bool:
    return (
        set(heavier.conditions) <= set(route.conditions)
        and _covers_host(heavier.host, route.host)
        and _covers_path(heavier.path, route.path)
    )


def _covers_host(wide: HostMatcher, narrow: HostMatcher) -> bool:
    if not wide.pieces:
        return True
    if not narrow.pieces:
        return False
    return all(any(_covers_piece(one, piece) for one in wide.pieces) for piece in narrow.pieces)


def _covers_piece(wide: HostPiece, narrow: HostPiece) -> bool:
    if (wide.kind, wide.text) == (narrow.kind, narrow.text):
        return True
    names = (HostKind.EXACT, HostKind.WILDCARD)
    return (
        wide.kind is HostKind.WILDCARD
        and narrow.kind in names
        and narrow.text.endswith("." + wide.text)
        and len(narrow.text) > len(wide.text) + 1
    )


def _covers_path(wide: PathMatcher, narrow: PathMatcher) -> bool:
    if wide.kind is PathKind.ANY or (wide.kind, wide.text) == (narrow.kind, narrow.text):
        return True
    if narrow.kind is PathKind.EXACT:
        return wide.match(narrow.text) is not None
    if wide.kind is not PathKind.PREFIX:
        return False
    return wide.text == "/" or (
        narrow.kind is PathKind.PREFIX and narrow.text.startswith(wide.text)
    )


def _all_but_asterisk(wide: PathMatcher, narrow: PathMatcher) -> bool:
    """Return whether ``OPTIONS *`` (RFC 9112, 3.2.4) is the only path left: all others begin with ``/``."""
    return wide.match("*") is None and narrow.match("*") is not None
