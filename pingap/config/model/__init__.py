"""The tables of the configuration as pydantic models.

Attribute names are the TOML keys; every field has a description, from which the reference
page is made. Durations are ``float`` seconds, sizes ``int`` bytes, arrays tuples.
"""

from __future__ import annotations

from pingap.config.model.base import Claimable, Model
from pingap.config.model.basic import BasicConfig
from pingap.config.model.location import LocationConfig
from pingap.config.model.named import CertificateConfig, PluginConfig, StorageConfig
from pingap.config.model.server import ServerConfig
from pingap.config.model.upstream import UpstreamConfig

SECTIONS: dict[str, type[Model]] = {
    "servers": ServerConfig,
    "locations": LocationConfig,
    "upstreams": UpstreamConfig,
    "plugins": PluginConfig,
    "certificates": CertificateConfig,
    "storages": StorageConfig,
}
"""The sections with named items, and the model of one item."""

__all__ = [
    "SECTIONS",
    "BasicConfig",
    "CertificateConfig",
    "Claimable",
    "LocationConfig",
    "Model",
    "PluginConfig",
    "ServerConfig",
    "StorageConfig",
    "UpstreamConfig",
]
