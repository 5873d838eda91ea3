"""All checks for settings that are valid but probably wrong.

An error that prevents serving is not a finding: loading reports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pingap.build.runtime import Runtime
from pingap.config.problem import KeyPath
from pingap.inspection.advice import advice
from pingap.inspection.dead_routes import dead_routes
from pingap.inspection.exposure import missing_guards
from pingap.inspection.finding import Finding, finding
from pingap.inspection.places import instances_of
from pingap.inspection.raw_paths import raw_guards
from pingap.inspection.secrets_in_clear import secrets_in_clear
from pingap.inspection.unused import unused
from pingap.plugins.order_lint import Hazard, hazards


def findings(runtime: Runtime) -> list[Finding]:
    """Run all checks; the results are in the order of files and lines."""
    found = [one for check in CHECKS for one in check(runtime)]
    return sorted(found, key=lambda one: (one.problem.file or "", one.problem.line or 0))


def order_hazards(runtime: Runtime) -> Iterator[Finding]:
    """``order``: plugins that run before plugins that must come first."""
    for path, hazard in _hazards(runtime):
        yield finding(runtime, "order", path, hazard.harm, hazard.advice)


def load_warnings(runtime: Runtime) -> Iterator[Finding]:
    """``load-warning``: warnings from loading that no other check reports."""
    told = {(path, str(hazard)) for path, hazard in _hazards(runtime)}
    for warning in (*runtime.config.warnings, *runtime.warnings):
        if (warning.path, warning.message) not in told:
            yield Finding(
                "load-warning", warning, "remove the key, or do what the message asks for"
            )


def _hazards(runtime: Runtime) -> Iterator[tuple[KeyPath, Hazard]]:
    built = {one.name: one for one in runtime.plugins}
    for name in runtime.config.locations:
        for hazard in hazards(instances_of(runtime.config, name, built)):
            yield ("locations", name, "plugins"), hazard


CHECKS: tuple[Callable[[Runtime], Iterator[Finding]], ...] = (
    load_warnings,
    order_hazards,
    dead_routes,
    missing_guards,
    raw_guards,
    unused,
    secrets_in_clear,
    advice,
)
