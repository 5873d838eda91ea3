"""The table of the configuration that a plugin instance stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ConfigTable:
    """A table of the configuration: what a plugin may know of the place that it is configured in.

    A plugin class whose ``__init__`` has a parameter ``table`` gets it::

        def __init__(self, settings: Settings, table: ConfigTable) -> None:
            self.domains = str(table.values.get("domains", "")).split(",")

    An instance is kept by a reload if its table has not changed.

    :param section: ``plugins``, ``locations``, ``servers``, ``upstreams``, ``certificates`` or
        ``basic``.
    :param name: of the table in the section; empty for ``[basic]``.
    :param values: the keys as written, those of pingap itself included, ``includes`` expanded.
    """

    section: str
    name: str
    values: Mapping[str, object] = field(default_factory=dict, repr=False)  # it may hold secrets
