"""The plugins of servers: their chains, and what they add to the chains of locations.

``SERVER_PHASES`` of a plugin run at the server; its other phases run for each location of the server,
before the location's own plugins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from pingap.build.claims import ClaimBuilder
from pingap.config import Config
from pingap.config.problem import KeyPath
from pingap.config.source import Report
from pingap.hookspecs import LOCATION_PHASES, SERVER_PHASES
from pingap.plugins import tracing as hook_trace
from pingap.plugins.chains import (
    NO_CHAINS,
    Chains,
    ContractError,
    Instance,
    freeze,
    joined,
    owned_headers,
)
from pingap.plugins.order_lint import hazards, implementations
from pingap.plugins.process_hooks import takes_part_in_servers

FRONT_PHASES: Final = tuple(phase for phase in LOCATION_PHASES if phase not in SERVER_PHASES)
"""The phases of a server's plugins that run for its locations."""


class ServerPlugins:
    """The plugins of all servers.

    :param report: collects errors and warnings.
    """

    def __init__(self, config: Config, claims: ClaimBuilder, report: Report) -> None:
        self._config = config
        self._claims = claims
        self._report = report
        self._instances: dict[str, list[Instance]] = {}
        """The instances that take part in all phases of the requests of a server."""
        self._fronts: dict[tuple[int, ...], Chains] = {}
        self._joined: dict[tuple[int, int], Chains] = {}
        self._servers_of: dict[str, list[str]] = {}

    def prepare(self, name: str, listed: list[Instance]) -> None:
        """Register the plugins that a server lists; done for all servers before anything else.

        :param name: of the server.
        """
        claimed = self._claims.instances.get(("servers", name), [])
        self._instances[name] = [*self._claims.of_section("basic"), *claimed, *listed]
        path: KeyPath = ("servers", name, "plugins")
        settings = self._config.servers[name]
        for instance in listed:
            if not implementations(instance) and not takes_part_in_servers(type(instance.plugin)):
                place = settings.plugins.index(instance.name)
                self._report.error((*path, place), f'"{instance.name}" has no phase')
        for hazard in hazards(self._instances[name]):
            self._warn(path, str(hazard))
        for location in settings.locations:
            self._servers_of.setdefault(location, []).append(name)
            self._check_twice(name, location)

    def of(self, server: str) -> Sequence[Instance]:
        """Return the plugins of a server: of ``[basic]``, of its claimed keys, and those it lists."""
        return self._instances[server]

    def _check_twice(self, server: str, location: str) -> None:
        """Report a plugin that would run twice, for the server and for its location."""
        names = self._config.servers[server].plugins
        if names and (settings := self._config.locations.get(location)) is not None:
            for place, name in enumerate(names):
                if name in settings.plugins:
                    text = f'"{name}" is listed by the location {location}, too: it would run twice'
                    self._report.error(("servers", server, "plugins", place), text)

    def in_front_of(self, location: str) -> Iterator[Instance]:
        """Yield the instances that run before those of a location, in any server that has it."""
        for server in self._servers_of.get(location, []):
            yield from self._instances[server]

    def chains(self, server: str, own: Sequence[Instance]) -> Chains:
        """Return the chains of the server itself.

        :param own: pingap's own instances for this server, which run first.
        """
        basic, certificates = map(self._claims.of_section, ("basic", "certificates"))
        instances = [*own, *basic, *certificates, *self._instances[server][len(basic) :]]
        try:
            chains = freeze(instances, self._claims.deprecated, SERVER_PHASES)
        except ContractError as error:
            self._report.error(("servers", server, "plugins"), str(error))
            return NO_CHAINS
        early = [one for one in instances if _runs_at_server(one)]
        return replace(chains, owned_headers=owned_headers(early))

    def at_location(
        self, server: str, location: str, own: Chains, instances: Sequence[Instance]
    ) -> Chains:
        """Return the chains of a location of a server: the same object if the server adds nothing.

        :param own: the chains of the location.
        :param instances: its plugins.
        """
        of_server = self._instances[server]
        front = self._front(of_server)
        if not (front.plugins or front.whole_body or front.owned_headers):
            return own
        late = [one for one in of_server if not _runs_at_server(one)]
        for hazard in hazards([*of_server, *instances]):
            both = {hazard.early, hazard.late}
            if all(both - {one.name for one in part} for part in (of_server, instances)):
                self._warn(("servers", server, "plugins"), str(hazard))
        if hook_trace.is_on():
            front = hook_trace.traced(front, location)
            return joined(front, own, owned_headers([*late, *instances]))
        key = (id(front), id(own))  # both live as long as this object
        if key not in self._joined:
            self._joined[key] = joined(front, own, owned_headers([*late, *instances]))
        return self._joined[key]

    def _warn(self, path: KeyPath, message: str) -> None:
        """Report something once."""
        warning = self._report.source.problem(path, message)
        if warning not in self._report.warnings:
            self._report.warnings.append(warning)

    def _front(self, instances: Sequence[Instance]) -> Chains:
        """Return the chains that a server adds to its locations; servers with the same plugins share them."""
        key = tuple(map(id, instances))
        if key not in self._fronts:
            try:
                front = freeze(instances, self._claims.deprecated, FRONT_PHASES)
            except ContractError:  # reported with the chains of the server
                front = NO_CHAINS
            late = [one for one in instances if not _runs_at_server(one)]
            self._fronts[key] = replace(front, owned_headers=owned_headers(late))
        return self._fronts[key]


def _runs_at_server(instance: Instance) -> bool:
    """Return whether an instance may set headers before a location is chosen."""
    return any(phase == "server_request" for phase, _ in implementations(instance))
