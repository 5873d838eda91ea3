"""Settings that are probably wrong according to their plugin."""

from __future__ import annotations

from collections.abc import Iterator

from pingap.build.runtime import Runtime
from pingap.config.problem import KeyPath
from pingap.inspection.finding import Finding, finding


def advice(runtime: Runtime) -> Iterator[Finding]:
    """``plugin-setting``: a setting of a plugin that is valid but probably wrong."""
    for instance in runtime.plugins:
        table: KeyPath = ("plugins", instance.name)
        if instance.name not in runtime.config.plugins:
            table = runtime.claimed.get(instance.name, ())[:-1]
        if table:  # others have no settings of the operator
            for key, problem, fix in instance.plugin.advice():
                yield finding(runtime, "plugin-setting", (*table, key), problem, fix)
