"""A configuration as plugins see it: its content, without how it was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pingap.config.load import Config
from pingap.config.model import (
    BasicConfig,
    CertificateConfig,
    LocationConfig,
    PluginConfig,
    ServerConfig,
    StorageConfig,
    UpstreamConfig,
)
from pingap.config.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ConfigView:
    """A configuration that was read and checked, includes expanded. It cannot be changed.

    The items of each section are found by name, in the order of the files. Their attributes are the keys
    of the reference, with defaults filled in; times are seconds and sizes bytes. The keys of a plugin are
    in ``plugins[name].options``, as they are written. ``repr`` shows no secrets.

    :param basic: the table ``[basic]``.
    :param warnings: warnings for the operator, in the order of the files.
    """

    basic: BasicConfig
    servers: Mapping[str, ServerConfig]
    locations: Mapping[str, LocationConfig]
    upstreams: Mapping[str, UpstreamConfig]
    plugins: Mapping[str, PluginConfig]
    certificates: Mapping[str, CertificateConfig]
    storages: Mapping[str, StorageConfig]
    warnings: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, config: Config) -> ConfigView:
        """Return the view of a configuration."""
        return cls(
            basic=config.basic,
            servers=MappingProxyType(config.servers),
            locations=MappingProxyType(config.locations),
            upstreams=MappingProxyType(config.upstreams),
            plugins=MappingProxyType(config.plugins),
            certificates=MappingProxyType(config.certificates),
            storages=MappingProxyType(config.storages),
            warnings=tuple(config.warnings),
        )

    def __repr__(self) -> str:
        servers, locations = ", ".join(self.servers), ", ".join(self.locations)
        return f"<Config servers: {servers}; locations: {locations}>"
