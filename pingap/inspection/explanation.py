"""How a request would be handled: its location, why the others do not match, its plugins.

The matcher and the chains are those used for serving. No plugin is called and nothing is sent, so the effects
of plugins (rewriting or answering the request, choosing another upstream) are unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pingap.build.builtin import METRICS
from pingap.build.client_options import path_rules
from pingap.build.runtime import Runtime
from pingap.config import Config, LocationConfig
from pingap.config.masking import masked
from pingap.config.problem import KeyPath
from pingap.hookspecs import PHASES
from pingap.http.connection import Connection
from pingap.http.context import RequestContext
from pingap.http.errors import HTTPError
from pingap.http.paths import as_matched
from pingap.http.request import Request
from pingap.inspection.environment import Replaced, replaced_in
from pingap.inspection.places import Place, place_of_code, place_of_instance, place_of_key
from pingap.observability.counters import WorkerStats
from pingap.plugins.chains import NO_CHAINS, Chains, Instance
from pingap.plugins.order_lint import implementations
from pingap.protocol.targets import read_path
from pingap.proxy.conditions import Asked
from pingap.proxy.matching import Captures, HostKind, HostMatcher, PathKind, PathMatcher
from pingap.proxy.routes import Candidate
from pingap.proxy.runtime import LocationRuntime
from pingap.proxy.upstream_headers import FORWARDED_HEADER, REVERSE_PROXY_HEADERS
from pingap.upstream.upstream import UpstreamRuntime

_ABOUT_FAILURES: Final = (
    "circuit_break_",
    "max_retr",
    "panic_threshold",
    "passive_",
    "retry_",
    "slow_start",
)
"""Prefixes of keys of upstreams and locations."""
_TIME_LIMITS: Final = (
    "connection_timeout",
    "total_connection_timeout",
    "read_timeout",
    "write_timeout",
)
"""Keys of upstreams, which locations may replace."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A location that does not match the request.

    :param reasons: kind (``host``, ``path``, ``header``, ``query``, ``cookie``, ``method``, ``client``,
        ``internal``, ``weight``) and text.
    """

    location: str
    weight: int
    reasons: list[tuple[str, str]]
    place: Place


@dataclass(frozen=True, slots=True)
class Step:
    """A plugin in a phase: its function and its configuration."""

    plugin: str
    function: str
    code: Place
    configured: Place


@dataclass(frozen=True, slots=True)
class HeaderStep:
    """A change to the headers that are sent to the upstream, as written."""

    action: str
    entry: str
    place: Place


@dataclass(frozen=True, slots=True)
class Backends:
    """The upstream that would be used.

    :param peers: address, weight, and whether it is a backup.
    :param settings: how a peer is chosen, and how failures are handled: key and value.
    """

    name: str
    peers: list[tuple[str, int, bool]]
    place: Place
    settings: list[tuple[str, str]]


@dataclass(slots=True)
class Explanation:
    """How one server would handle a request; without a location it gets 404."""

    server: str
    path: str = ""
    """The path that locations are matched against: normalised, unless the server matches raw paths."""
    refusal: str = ""
    """Why the request is rejected, at once or before it is sent to the upstream; empty if it is not."""
    location: str | None = None
    weight: int = 0
    place: Place = field(default_factory=Place)
    captures: Captures = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)
    chain: dict[str, list[Step]] = field(default_factory=dict)
    headers: list[HeaderStep] = field(default_factory=list)
    upstream: Backends | None = None
    no_upstream: str = ""
    """Why there is no upstream, unless the configuration names none."""
    origin: str = ""
    """The plugin that answers in place of the upstream, if one does."""
    environment: list[Replaced] = field(default_factory=list)
    """The texts of its tables in which environment variables were replaced."""


@dataclass(frozen=True, slots=True)
class _Client:
    address: str

    def client_ip(self, _: Request) -> str:
        """Return the address."""
        return self.address


def explain(
    runtime: Runtime, server: str, request: Request, client: str, *, losses: bool = True
) -> Explanation:
    """Match a request against the locations of a server.

    :param request: its path is as sent by the client; it is normalised here, by the rules of the server.
    :param client: its address.
    :param losses: also tell why the other locations do not match.
    """
    router = runtime.servers[server].router
    explanation = Explanation(server)
    try:
        read_path(request, path_rules(runtime.config.servers[server]))
        found = router.match(request.host, request.path, request, _Client(client))
    except HTTPError as error:
        explanation.refusal = f"{error.status}: {error}"
        return explanation
    explanation.path = request.path
    metrics = runtime.config.servers[server].prometheus_metrics
    if metrics and request.path == as_matched(metrics):
        found = None
        explanation.location = METRICS
        explanation.place = place_of_key(
            runtime.config.source, ("servers", server, "prometheus_metrics")
        )
    if request.path_danger:
        explanation.refusal = f"400: {request.path_danger}"
    winner: Candidate[LocationRuntime] | None = None
    server_chains = runtime.servers[server].chains
    explanation.chain = chain(runtime, server_chains)
    if found is not None:
        location, captures = found
        winner = next(one for one in router.candidates if one.target is location)
        explanation.location, explanation.weight = location.name, winner.weight
        explanation.place = place_of_key(runtime.config.source, ("locations", location.name))
        explanation.captures = dict(captures)
        explanation.headers = list(_header_steps(runtime, location.name))
        _add_upstream(runtime, location, captures, explanation)
        chosen = explanation.upstream.name if explanation.upstream is not None else ""
        behind = location.upstream_chains.get(chosen, NO_CHAINS)
        explanation.chain = chain(runtime, location.chains, behind, server_chains)
        explanation.origin = _origin(runtime, explanation)
    explanation.environment = replaced_in(runtime, _tables(runtime, explanation))
    examined = Asked(request, _Client(client))
    internal = runtime.servers[server].internal
    inner = internal.router.candidates if internal is not None else ()
    for candidate in (*router.candidates, *inner) if losses else ():
        if candidate is not winner:
            name = candidate.target.name
            reasons = list(_reasons(candidate, request, examined, winner))
            if candidate in inner:
                reasons = [_INTERNAL, *(one for one in reasons if one[0] != "weight")]
            place = place_of_key(runtime.config.source, ("locations", name))
            explanation.losses.append(Loss(name, candidate.weight, reasons, place))
    return explanation


def _tables(runtime: Runtime, explanation: Explanation) -> Iterator[KeyPath]:
    """Yield the paths of the tables that take part."""
    yield ("basic",)
    yield ("servers", explanation.server)
    if explanation.location in runtime.config.locations:
        yield ("locations", str(explanation.location))
    for steps in explanation.chain.values():
        yield from (("plugins", step.plugin) for step in steps)
    if explanation.upstream is not None:
        yield ("upstreams", explanation.upstream.name)


# Reasons.

_INTERNAL: Final = ("internal", "internal: only internal redirects reach it")


def _reasons(
    candidate: Candidate[LocationRuntime],
    request: Request,
    examined: Asked,
    winner: Candidate[LocationRuntime] | None,
) -> Iterator[tuple[str, str]]:
    if candidate.host.match(request.host) is None:
        asked = f'"{request.host}"' if request.host else "no host"
        yield "host", f"host: {asked} is not {written_host(candidate.host)}"
    if candidate.path.match(request.path) is None:
        yield "path", f'path: "{request.path}" {_path_mismatch(candidate.path)}'
    for condition in candidate.conditions:
        if not condition.holds(examined):
            yield condition.about, condition.failure()
    if winner is not None and winner.rank < candidate.rank:
        yield "weight", _lighter(candidate.weight, winner.weight)


def _lighter(weight: int, heaviest: int) -> str:
    if weight == heaviest:
        return f"listed later, with the same weight {weight}"
    return f"lighter: {weight} < {heaviest}"


def written_host(host: HostMatcher) -> str:
    """Return the hosts of a location as written in TOML."""
    marks = {HostKind.EXACT: "", HostKind.WILDCARD: "*.", HostKind.REGEX: "~"}
    return ", ".join(f"{marks[piece.kind]}{piece.text}" for piece in host.pieces)


def _path_mismatch(path: PathMatcher) -> str:
    words = {
        PathKind.EXACT: "is not",
        PathKind.PREFIX: "does not begin with",
        PathKind.REGEX: "does not match",
    }
    return f"{words[path.kind]} {path.text}"


# Plugins and upstream.


def chain(runtime: Runtime, *frozen: Chains) -> dict[str, list[Step]]:
    """Return the plugins that run in each phase, with their functions.

    :param frozen: the chains of a location, of its upstream, and of its server.
    """
    built = {one.name: one for one in runtime.plugins}
    found: dict[str, list[Step]] = {}
    for phase in PHASES:
        steps_of = [step for chains in frozen for step in getattr(chains, phase)]
        names = dict.fromkeys(owner.name for _, owner in steps_of)
        steps = [
            step for name in names if name in built for step in _steps(runtime, built[name], phase)
        ]
        if steps:
            found[phase] = steps
    return found


def _steps(runtime: Runtime, instance: Instance, phase: str) -> list[Step]:
    configured = place_of_instance(runtime.config, instance.name, runtime.claimed)
    return [
        Step(instance.name, _class_name(instance, function), place_of_code(function), configured)
        for where, function in implementations(instance)
        if where == phase
    ]


def _class_name(instance: Instance, function: object) -> str:
    return f"{type(instance.plugin).__name__}.{getattr(function, '__name__', '')}"


def _header_steps(runtime: Runtime, name: str) -> Iterator[HeaderStep]:
    if (settings := runtime.config.locations.get(name)) is None:
        return
    source = runtime.config.source
    if settings.enable_reverse_proxy_headers:
        place = place_of_key(source, ("locations", name, "enable_reverse_proxy_headers"))
        for text in REVERSE_PROXY_HEADERS:
            yield HeaderStep("set", text, place)
    if settings.forwarded_header:
        place = place_of_key(source, ("locations", name, "forwarded_header"))
        yield HeaderStep("set", FORWARDED_HEADER, place)
    if settings.host_header != "client":
        place = place_of_key(source, ("locations", name, "host_header"))
        own = settings.host_header == "upstream"
        host = "(the name of the backend)" if own else settings.host_header
        yield HeaderStep("set", f"Host: {host}", place)
    for at, entry in enumerate(settings.proxy_remove_headers):
        place = place_of_key(source, ("locations", name, "proxy_remove_headers", at))
        yield HeaderStep("remove", entry, place)
    for action in ("set", "add"):
        key = f"proxy_{action}_headers"
        written = runtime.config.tables["locations"][name].get(key, [])
        entries = masked("locations", key, written, (), source.directory)
        for at, entry in enumerate(entries):
            place = place_of_key(source, ("locations", name, key, at))
            header, _, value = str(entry).partition(":")
            if action == "set" and not value.strip():
                yield HeaderStep("remove", header, place)
            else:
                yield HeaderStep(action, str(entry), place)


def _add_upstream(
    runtime: Runtime, location: LocationRuntime, captures: Captures, explanation: Explanation
) -> None:
    if not location.upstream:
        return
    client = Connection(1, ("", 0), ("", 0), server=explanation.server, stats=WorkerStats({}))
    ctx = RequestContext(client, began_at=0.0)
    ctx.captures = captures
    try:
        upstream: UpstreamRuntime = location.choose_upstream(ctx)
    except HTTPError as error:
        name = location.upstream.removeprefix("$")
        own = runtime.config.locations.get(location.name)
        if own is not None and name in own.capture_names() and name not in captures:
            explanation.no_upstream = f"{location.upstream} depends on the rewritten path"
        else:
            explanation.no_upstream = f"{location.upstream}: {error.status} {error}"
        return
    peers = [(peer.text, peer.weight, peer.backup) for peer in upstream.peers]
    place = place_of_key(runtime.config.source, ("upstreams", upstream.name))
    settings = list(_settings(runtime.config, upstream.name, location.name))
    explanation.upstream = Backends(upstream.name, peers, place, settings)


def _origin(runtime: Runtime, explanation: Explanation) -> str:
    """Return the plugin of the location that answers in place of the upstream; empty if none does."""
    used = {step.plugin for steps in explanation.chain.values() for step in steps}
    names = [one.name for one in runtime.plugins if one.plugin.sets_origin and one.name in used]
    return names[-1] if names else ""


def _settings(config: Config, upstream: str, location: str) -> Iterator[tuple[str, str]]:
    """Yield the settings for choosing and checking peers, the configured keys about failures, and the time limits."""
    settings = config.upstreams[upstream]
    if settings.discovery != "transparent":
        yield "algo", settings.algo
        yield "health_check", settings.health_check or "a TCP connection every 10 s"
    written = config.tables["locations"][location]
    own = {LocationConfig.SYNONYMS.get(key, key): value for key, value in written.items()}
    for key, value in config.tables["upstreams"][upstream].items():
        if key.startswith(_ABOUT_FAILURES) or (key in _TIME_LIMITS and key not in own):
            yield key, str(value)
    for key, value in own.items():
        if key.startswith(_ABOUT_FAILURES):
            yield key, str(value)
        elif key in _TIME_LIMITS:
            yield key, f"{value} (of the location)"
