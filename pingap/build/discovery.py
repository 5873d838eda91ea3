"""Builds the discovery of an upstream from ``discovery`` and ``addrs``.

Nothing is looked up, except the names of a static upstream.
"""

from __future__ import annotations

from collections.abc import Iterator

from pingap.config import Config, Problem, UpstreamConfig
from pingap.config.addresses import TcpAddress
from pingap.config.problem import KeyPath, quoted
from pingap.plugins import kinds
from pingap.plugins.discovery import Discovery, DiscoverySettings
from pingap.plugins.registry import MissingPluginError, PluginLoadError, Registry

_DNS_KEYS = ("dns_server", "dns_domain", "dns_search")


class DiscoveryBuilder:
    """Builds the discoveries of a configuration.

    :param problems: collects errors.
    :param warnings: collects warnings.
    """

    def __init__(
        self, config: Config, registry: Registry, problems: list[Problem], warnings: list[Problem]
    ) -> None:
        self._config = config
        self._registry = registry
        self._problems = problems
        self._warnings = warnings

    def build(self, name: str, settings: UpstreamConfig) -> Discovery | None:
        """Return the discovery of an upstream; None if there was a problem."""
        path: KeyPath = ("upstreams", name)
        word = settings.discovery or self._guess(path, settings)
        try:
            cls = self._registry.find(kinds.DISCOVERY, word)
        except (MissingPluginError, PluginLoadError) as error:
            key = "discovery" if settings.discovery else "addrs"
            unknown = isinstance(error, MissingPluginError) and word not in kinds.DISCOVERY.ours
            found = f"found {quoted(word)}, " if unknown else ""
            self._problem((*path, key), f"{found}{error}")
            return None
        try:
            discovery = cls(_settings(name, settings))
        except ValueError as error:
            self._problem((*path, "discovery"), str(error))
            return None
        known = len(self._problems)
        for place, text in enumerate(settings.addrs):
            try:
                discovery.add(text)
            except ValueError as error:
                self._problem((*path, "addrs", place), str(error))
        self._warn_of_keys(path, settings, discovery)
        return discovery if len(self._problems) == known else None

    def _guess(self, path: KeyPath, settings: UpstreamConfig) -> str:
        """Return the discovery of an upstream that does not name one (config.md 6.1).

        In pingap 0.13.9, every host name and some IP addresses select ``dns``.
        """
        names = dict(_names(settings))
        if any(getattr(settings, key) for key in _DNS_KEYS):
            return "dns"
        if any(name.startswith("_") for name in names.values()):
            return "dns"  # a name of SRV records
        if names and "dns" not in self._registry.names(kinds.DISCOVERY):
            self._warn(
                (*path, "addrs", next(iter(names))),
                "host names are looked up once, at the start: pingap-dns looks them up again as"
                ' they change (discovery = "static" accepts that)',
            )
            return "static"
        return "dns" if names else "static"

    def _warn_of_keys(self, path: KeyPath, settings: UpstreamConfig, found: Discovery) -> None:
        written = settings.model_fields_set
        if found.fixed and "update_frequency" in written:
            text = f"has no effect: {found.word} addresses are looked up once"
            self._warn((*path, "update_frequency"), text)
        for key in _DNS_KEYS:
            if key in written and getattr(settings, key) and found.word in ("static", "docker"):
                self._warn((*path, key), f'has no effect with discovery = "{found.word}"')

    def _problem(self, path: KeyPath, message: str) -> None:
        self._problems.append(self._config.source.problem(path, message))

    def _warn(self, path: KeyPath, message: str) -> None:
        self._warnings.append(self._config.source.problem(path, message))


def _names(settings: UpstreamConfig) -> Iterator[tuple[int, str]]:
    """Yield index and name of each entry that is a host name."""
    for place, backend in enumerate(settings.backends):
        address = backend.address
        if isinstance(address, TcpAddress) and address.ip is None:
            yield place, address.host


def _settings(name: str, settings: UpstreamConfig) -> DiscoverySettings:
    return DiscoverySettings(
        upstream=name,
        default_port=443 if settings.sni else 80,
        ipv4_only=settings.ipv4_only,
        dns_server=tuple((one.host, one.port) for one in settings.name_servers),
        dns_domain=settings.dns_domain,
        dns_search=settings.search_domains,
    )
