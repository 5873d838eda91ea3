"""Settings that are probably wrong according to their plugin."""

from __future__ import annotations

from collections.abc import Iterator

from pingap.build.runtime import Runtime
from pingap.inspection.finding import Finding, finding


def advice(runtime: Runtime) -> Iterator[Finding]:
    """``plugin-setting``: a setting of a plugin that is valid but probably wrong."""
    for instance in runtime.plugins:
        if instance.name in runtime.config.plugins:  # others have no settings of the operator
            for key, problem, fix in instance.plugin.advice():
                path = ("plugins", instance.name, key)
                yield finding(runtime, "plugin-setting", path, problem, fix)
