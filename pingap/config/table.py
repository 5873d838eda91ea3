"""The table of the configuration from which a plugin instance was built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ConfigTable:
    """The table of the configuration that a plugin instance belongs to.

    A plugin class whose ``__init__`` has a parameter ``table`` gets it::

        def __init__(self, settings: Settings, table: ConfigTable) -> None:
            self.domains = str(table.values.get("domains", "")).split(",")

    An instance is kept by a reload if its table has not changed.

    :param section: ``plugins``, ``locations``, ``servers``, ``upstreams``, ``certificates`` or
        ``basic``.
    :param name: of the table in the section; empty for ``[basic]``.
    :param values: the keys as written, including those of pingap itself, ``includes`` expanded.
    """

    section: str
    name: str
    values: Mapping[str, object] = field(default_factory=dict, repr=False)  # may contain secrets
