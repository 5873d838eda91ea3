"""Converts the merged tables to models, and reports every key that does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from pingap.config import distributions
from pingap.config.environment import validated
from pingap.config.kinds import Surroundings
from pingap.config.merge import Table
from pingap.config.model import (
    BasicConfig,
    CertificateConfig,
    Claimable,
    LocationConfig,
    Model,
    PluginConfig,
    ServerConfig,
    StorageConfig,
    UpstreamConfig,
)
from pingap.config.problem import KeyPath, did_you_mean, quoted
from pingap.config.schema_errors import problems_from
from pingap.config.source import Report
from pingap.config.supported import SAMPLE_ONLY, check_support

M = TypeVar("M", bound=Model)

Claims = Mapping[str, Mapping[str, str]]
"""Section, or ``basic`` -> claimed key -> name of the distribution that claims it.

In ``plugins`` these are the names of instances that every configuration has.
"""

MODULES = {"grpc-web": "grpc_web"}
"""Words of a server's key ``modules`` -> the location key for which pingap 0.13.9 needs them."""
_OWN_PLUGIN_KEYS = ("category", "step", "fail_open", "timeout", "remark")


@dataclass
class Items:
    """The items that fit their models. All others are in the report."""

    servers: dict[str, ServerConfig] = field(default_factory=dict)
    locations: dict[str, LocationConfig] = field(default_factory=dict)
    upstreams: dict[str, UpstreamConfig] = field(default_factory=dict)
    plugins: dict[str, PluginConfig] = field(default_factory=dict)
    certificates: dict[str, CertificateConfig] = field(default_factory=dict)
    storages: dict[str, StorageConfig] = field(default_factory=dict)


def decode_basic(table: Table, claims: Claims, report: Report) -> BasicConfig:
    """Return the model of ``[basic]``; the defaults if it does not fit.

    :param claims: see ``decode_items``.
    """
    return _decode(BasicConfig, table, ("basic",), claims, report) or BasicConfig()


def decode_items(sections: dict[str, dict[str, Table]], claims: Claims, report: Report) -> Items:
    """Return the models of all items.

    :param claims: the keys that installed distributions claim.
    """
    items = Items()
    plugins = {name: with_options(table) for name, table in sections["plugins"].items()}
    sections = {**sections, "plugins": plugins}
    _decode_section(ServerConfig, "servers", sections, items.servers, claims, report)
    _decode_section(LocationConfig, "locations", sections, items.locations, claims, report)
    _decode_section(UpstreamConfig, "upstreams", sections, items.upstreams, claims, report)
    _decode_section(PluginConfig, "plugins", sections, items.plugins, claims, report)
    _decode_section(CertificateConfig, "certificates", sections, items.certificates, claims, report)
    _decode_section(StorageConfig, "storages", sections, items.storages, claims, report)
    _check_modules(items.servers, claims.get("locations", {}), report)
    return items


def decode_servers(
    tables: Mapping[str, Table], claims: Claims, report: Report
) -> dict[str, ServerConfig]:
    """Return the models of servers that are not in any file.

    :param claims: see ``decode_items``.
    """
    servers: dict[str, ServerConfig] = {}
    _decode_section(ServerConfig, "servers", {"servers": dict(tables)}, servers, claims, report)
    _check_modules(servers, claims.get("locations", {}), report)
    return servers


def _check_modules(
    servers: Mapping[str, ServerConfig], location_keys: Mapping[str, str], report: Report
) -> None:
    """Check that the features named in ``modules`` are available; the location key alone enables them."""
    for name, server in servers.items():
        for place, word in enumerate(server.modules):
            path = ("servers", name, "modules", place)
            if word not in MODULES:
                expected = ", ".join(map(quoted, MODULES))
                hint = did_you_mean(word, MODULES)
                report.error(path, f"found {quoted(word)}, expected {expected}{hint}")
            elif (key := MODULES[word]) not in location_keys:
                report.error(path, distributions.needs(distributions.LOCATION_KEYS[key]))


def _decode_section(
    model: type[M],
    section: str,
    sections: dict[str, dict[str, Table]],
    items: dict[str, M],
    claims: Claims,
    report: Report,
) -> None:
    for name, table in sections[section].items():
        if (item := _decode(model, table, (section, name), claims, report)) is not None:
            items[name] = item


def _decode(
    model: type[M], table: Table, path: KeyPath, claims: Claims, report: Report
) -> M | None:
    table = _without_sample_keys(table, path, report)
    if model.SYNONYMS and not model.SYNONYMS.keys().isdisjoint(table):
        table = _without_synonyms(model.SYNONYMS, table, path, report)
    if issubclass(model, Claimable):
        table = _claim(model, table, path, claims.get(str(path[0]), {}), report)
    surroundings = Surroundings(directory=report.source.directory)
    try:
        item = validated(model, table, surroundings)
    except ValidationError as error:
        found = problems_from(error, path, report.source, model)
        report.problems.extend(one for one in found if one.path not in report.source.unset)
        good = _without_wrong_keys(model, table, error, surroundings)
        if good is None:
            return None
        item = good
    check_support(item, path, report)
    return item


def _without_wrong_keys(
    model: type[M], table: Table, error: ValidationError, surroundings: Surroundings
) -> M | None:
    """Build an item from the keys that fit, so that later checks find its other errors as well."""
    wrong = {details["loc"][0] for details in error.errors() if details["loc"]}
    try:
        rest = {key: table[key] for key in table if key not in wrong}
        return validated(model, rest, surroundings)
    except ValidationError:  # a required key is missing
        return None


def _without_sample_keys(table: Table, path: KeyPath, report: Report) -> Table:
    ignored = SAMPLE_ONLY.get(str(path[0]), {})
    found = table.keys() & ignored.keys()
    for key in found:
        report.warn((*path, key), ignored[key])
    return {key: table[key] for key in table if key not in found} if found else table


def _without_synonyms(
    synonyms: Mapping[str, str], table: Table, path: KeyPath, report: Report
) -> Table:
    """Give every key its own name; problems show the place where it is written."""
    renamed = {key: value for key, value in table.items() if key not in synonyms}
    for written, key in synonyms.items():
        if written not in table:
            continue
        if key in renamed:
            report.error((*path, written), f"is another name of {key}, which is set as well")
            continue
        renamed[key] = table[written]
        report.source.move((*path, key), (*path, written))
    return renamed


_OURS: Final[Mapping[type[Claimable], Mapping[str, str]]] = {
    LocationConfig: distributions.LOCATION_KEYS,
    CertificateConfig: distributions.CERTIFICATE_KEYS,
}
"""Section -> the keys that distributions of this project provide."""


def with_options(table: Mapping[str, Any]) -> Table:
    """Move the keys that the plugin itself checks to ``options``."""
    own = {key: table[key] for key in _OWN_PLUGIN_KEYS if key in table}
    own["options"] = {key: table[key] for key in table if key not in own or key == "timeout"}
    return own


def _claim(
    model: type[Claimable], table: Table, path: KeyPath, owners: Mapping[str, str], report: Report
) -> Table:
    """Move claimed keys to ``claimed``, and report missing distributions.

    :param owners: the keys that distributions claim in this section.
    """
    ours = _OURS.get(model, {})
    rest = {}
    claimed = {}
    for key, value in table.items():
        if key == "claimed":  # our field, not a key
            report.error((*path, key), "unknown key")
        elif key in owners and not model.owns(key):
            if value != "":  # an empty string is the same as no key
                claimed[key] = value
        elif key in ours:
            if value is not False and value != "":  # these are the same as no key
                report.error((*path, key), distributions.needs(ours[key]))
        else:
            rest[key] = value
    if claimed:
        rest["claimed"] = claimed
    return rest
