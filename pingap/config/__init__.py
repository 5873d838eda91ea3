"""Configuration: parses TOML into checked, immutable data.

``load`` reads a file or a directory (``read``, then ``load_snapshot``) and ``parse`` a text; they raise a
``ConfigError`` that lists every error with its file and line. Nothing is built, opened or resolved here,
and nothing is written back. The format is that of pingap 0.13.9, with more limits.
"""

from __future__ import annotations

from pingap.config.addresses import (
    Address,
    Backend,
    TcpAddress,
    UnixAddress,
    parse_backend,
    parse_listen,
)
from pingap.config.files import read
from pingap.config.kinds import (
    DirectoryPath,
    FilePath,
    Networks,
    Regex,
    Secret,
    Surroundings,
    UpstreamName,
)
from pingap.config.load import Config, load, load_snapshot, parse
from pingap.config.model import (
    SECTIONS,
    BasicConfig,
    CertificateConfig,
    LocationConfig,
    PluginConfig,
    ServerConfig,
    StorageConfig,
    UpstreamConfig,
)
from pingap.config.problem import ConfigError, Problem, dotted, quoted
from pingap.config.regex import compile_regex
from pingap.config.schema_errors import problems_from
from pingap.config.snapshot import Snapshot
from pingap.config.source import Source
from pingap.config.starter import TEMPLATE
from pingap.config.units import (
    ByteSize,
    Duration,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)
from pingap.config.validate import BUILT_IN_PLUGINS
from pingap.config.view import ConfigView

__all__ = [
    "BUILT_IN_PLUGINS",
    "SECTIONS",
    "TEMPLATE",
    "Address",
    "Backend",
    "BasicConfig",
    "ByteSize",
    "CertificateConfig",
    "Config",
    "ConfigError",
    "ConfigView",
    "DirectoryPath",
    "Duration",
    "FilePath",
    "LocationConfig",
    "Networks",
    "PluginConfig",
    "Problem",
    "Regex",
    "Secret",
    "ServerConfig",
    "Snapshot",
    "Source",
    "StorageConfig",
    "Surroundings",
    "TcpAddress",
    "UnixAddress",
    "UpstreamConfig",
    "UpstreamName",
    "compile_regex",
    "dotted",
    "format_duration",
    "format_size",
    "load",
    "load_snapshot",
    "parse",
    "parse_backend",
    "parse_duration",
    "parse_listen",
    "parse_size",
    "problems_from",
    "quoted",
    "read",
]
