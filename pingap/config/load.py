"""Configuration from a path or a text to checked models.

The steps: read, merge, expand includes, validate with the models, check references between tables. All
problems of all steps are reported at once. Plugin options are checked later, by the plugins.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from pingap.config.attachments import attach_locations
from pingap.config.decode import Claims, decode_basic, decode_items
from pingap.config.environment import resolve_sections, resolve_table
from pingap.config.files import parse_files, read
from pingap.config.formats.installed import TOML_ONLY, Formats
from pingap.config.includes import expand_includes
from pingap.config.merge import Table, merge
from pingap.config.model import (
    BasicConfig,
    CertificateConfig,
    LocationConfig,
    PluginConfig,
    ServerConfig,
    StorageConfig,
    UpstreamConfig,
)
from pingap.config.optional import without_wrong
from pingap.config.problem import ConfigError, Problem, in_file_order
from pingap.config.snapshot import Snapshot
from pingap.config.source import Report, Source
from pingap.config.validate import validate


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration that was read and checked, includes expanded.

    :param basic: the table ``[basic]``.
    :param servers: the items of each section by name, in file order; likewise the other sections.
    :param warnings: warnings for the operator, in file order.
    :param source: finds the file and the line of a key, for problems that are found later.
    :param tables: ``basic`` and the items of each section as they are written, includes expanded and environment
        variables replaced (``FromEnvironment``).
    :param snapshot: the texts it was read from.
    :param added: name of a server that is in no file -> the distribution that added it.
    """

    basic: BasicConfig
    servers: dict[str, ServerConfig]
    locations: dict[str, LocationConfig]
    upstreams: dict[str, UpstreamConfig]
    plugins: dict[str, PluginConfig]
    certificates: dict[str, CertificateConfig]
    storages: dict[str, StorageConfig]
    warnings: list[Problem]
    source: Source
    tables: dict[str, dict[str, Table]] = field(repr=False)  # may contain secrets
    snapshot: Snapshot
    added: dict[str, str] = field(default_factory=dict)


def load(path: str | os.PathLike[str], *, claims: Claims | None = None) -> Config:
    """Load a TOML file, or all TOML files below a directory.

    :param path: as given to ``-c``; ``?separation`` and ``?enable_history`` may follow. Relative paths in
        the configuration are relative to the directory, or to that of the file.
    :param claims: the keys that installed distributions claim: section -> key -> distribution. They are
        kept unchecked in ``claimed`` of each table.
    :raises ConfigError: with everything that is wrong.
    """
    return load_snapshot(read(path), claims=claims)


def parse(
    text: str,
    name: str = "<text>",
    *,
    claims: Claims | None = None,
    directory: Path = Path(),
) -> Config:
    """Load configuration that is not in a file.

    :param text: one TOML document.
    :param name: shown in problems instead of a file.
    :param claims: see ``load``.
    :param directory: the base of relative paths.
    :raises ConfigError: with everything that is wrong.
    """
    return load_snapshot(Snapshot.of_text(text, name, directory), claims=claims)


def load_snapshot(
    snapshot: Snapshot, *, claims: Claims | None = None, formats: Formats = TOML_ONLY
) -> Config:
    """Load configuration that was read before.

    :param claims: see ``load``.
    :param formats: the formats of its files.
    :raises ConfigError: with everything that is wrong.
    """
    while True:
        try:
            return _load(snapshot, claims or {}, formats)
        except ConfigError as error:
            smaller = without_wrong(snapshot, error.problems)
            if smaller is None:
                raise
            snapshot = smaller


def _load(snapshot: Snapshot, claims: Claims, formats: Formats) -> Config:
    reading = parse_files(snapshot, formats)
    source = Source(reading.documents, Path(snapshot.directory))
    report = Report(source, reading.problems, reading.warnings)
    complete = not reading.problems
    basic_table, sections = merge(report)
    basic_table = resolve_table(basic_table, ("basic",), report)
    resolve_sections(sections, report)
    expand_includes(sections, report)
    attach_locations(sections, report)
    basic = decode_basic(basic_table, claims, report)
    items = decode_items(sections, claims, report)
    if complete:  # otherwise, names in the unreadable file would be reported as missing
        validate(basic, items, sections, claims, report)
    config = Config(
        basic=basic,
        servers=items.servers,
        locations=items.locations,
        upstreams=items.upstreams,
        plugins=items.plugins,
        certificates=items.certificates,
        storages=items.storages,
        warnings=in_file_order(report.warnings),
        source=source,
        tables={"basic": basic_table, **sections},
        snapshot=snapshot,
    )
    if report.problems:
        raise ConfigError(report.problems, config if complete else None)
    return config
