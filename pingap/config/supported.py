"""Reports keys of pingap 0.13.9 that this version does not support, as problems or warnings.

The models mark them (``not_yet``, ``no_effect``); no key is ignored silently.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from typing import Any

from pingap.config.model import BasicConfig, Model, ServerConfig, UpstreamConfig
from pingap.config.problem import KeyPath
from pingap.config.source import Report

# Keys in the sample files of pingap 0.13.9 that it never reads.
SAMPLE_ONLY = {
    "basic": {
        "cache_directory": "has no effect, nor in pingap 0.13.9: the cache plugin has its own setting",
        "cache_max_size": "has no effect, nor in pingap 0.13.9: the cache plugin has its own setting",
    },
    "servers": {
        "tcp_fast_open": "has no effect, nor in pingap 0.13.9: the key is tcp_fastopen",
    },
}

_HAS_AFFINITY = hasattr(os, "sched_setaffinity")
_KEEPALIVE = ("tcp_idle", "tcp_interval", "tcp_probe_count")


def check_support(table: Model, path: KeyPath, report: Report) -> None:
    """Report the keys of one table that have no effect or are not supported.

    :param path: the path of the table: ``("servers", "web")``.
    """
    for key, what in _unsupported(table):
        report.error((*path, key), f"not supported yet ({what})")
    for key, reason in _marked(type(table), "no_effect").items():
        if key in table.model_fields_set:
            report.warn((*path, key), str(reason))
    if isinstance(table, BasicConfig) and table.cpu_affinity and not _HAS_AFFINITY:
        report.warn((*path, "cpu_affinity"), "has no effect: this system cannot do it")
    if isinstance(table, ServerConfig | UpstreamConfig):
        _warn_of_partial_keepalive(table, path, report)


def _unsupported(table: Model) -> Iterator[tuple[str, str]]:
    for key, what in _marked(type(table), "not_yet").items():
        if key in table.model_fields_set and not _means_absent(table, key):
            yield key, str(what)


def _means_absent(table: Model, key: str) -> bool:
    value = getattr(table, key)
    same = _marked(type(table), "same_as_absent").get(key, [])
    return bool(value == type(table).model_fields[key].default or value in same)


@cache
def _marked(model: type[Model], mark: str) -> dict[str, Any]:
    """Return the fields of a model that carry a mark, with the text of the mark."""
    found = {}
    for key, field in model.model_fields.items():
        if isinstance(field.json_schema_extra, dict) and mark in field.json_schema_extra:
            found[key] = field.json_schema_extra[mark]
    return found


def _warn_of_partial_keepalive(
    table: ServerConfig | UpstreamConfig, path: KeyPath, report: Report
) -> None:
    missing = [key for key in _KEEPALIVE if getattr(table, key) is None]
    # tcp_user_timeout enables keepalive by itself; the missing values are then 0.
    if table.tcp_user_timeout is not None or len(missing) in (0, len(_KEEPALIVE)):
        return
    first = next(key for key in _KEEPALIVE if key not in missing)
    absent = " and ".join(missing)
    verb = "is" if len(missing) == 1 else "are"
    report.warn(
        (*path, first),
        "has no effect: TCP keepalive needs tcp_idle, tcp_interval and tcp_probe_count,"
        f" and {absent} {verb} missing",
    )
