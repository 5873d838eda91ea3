"""A finding of ``pingap lint``."""

from __future__ import annotations

from dataclasses import dataclass

from pingap.build.runtime import Runtime
from pingap.config import Problem
from pingap.config.problem import KeyPath


@dataclass(frozen=True, slots=True)
class Finding:
    """A probable mistake in a configuration.

    :param id: what kind it is; never changes its meaning.
    :param problem: its place and what is wrong.
    :param fix: what to do.
    """

    id: str
    problem: Problem
    fix: str


def finding(runtime: Runtime, kind: str, path: KeyPath, message: str, fix: str) -> Finding:
    """Make a finding about a key of the configuration."""
    return Finding(kind, runtime.config.source.problem(path, message), fix)
