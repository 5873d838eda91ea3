"""Plugins that are made from the template, and what is asked of ``pingap new-plugin`` for each."""

from __future__ import annotations

from pingap.hookspecs import PHASES

ALL = ",".join(PHASES)

INSTALLED: dict[str, list[str]] = {
    "greet": ["--phases", "request"],
    "greet_later": ["--phases", "request", "--async", "--description", "Says it, later."],
    "footer": ["--phases", "response_body", "--body", "rewrites", "--license", "MIT"],
    "whole": ["--phases", "request, logging", "--body", "whole", "--author", "Zoë O'Hara & Söhne"],
    "reading": ["--phases", ALL, "--body", "reads", "--async", "--license", "BSD-3-Clause"],
    "a_name_that_is_thirty_long_x9z": ["--phases", ALL, "--body", "rewrites"],
}
"""Category -> arguments. They are installed, tested and served."""


def _single() -> dict[str, list[str]]:
    """Return plugins with one phase each, sync and async where there is a difference."""
    found = {}
    for phase in PHASES:
        for kind in ("reads", "rewrites") if phase.endswith("_body") else ("none", "later"):
            options = ["--async"] if kind == "later" else ["--body", kind]
            found[f"{phase}_{kind[:4]}"] = ["--phases", phase, *options]
    return found


EVERY: dict[str, list[str]] = {
    **INSTALLED,
    **_single(),
    "zebra": ["--phases", "early_request,response", "--async"],
    "whole_later": ["--phases", "logging,request,response", "--body", "whole", "--async"],
    "reads_request": ["--phases", "request,request_body", "--body", "reads"],
}
"""Those, and more that only have to look right."""
