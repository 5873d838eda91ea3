"""A finding of ``pingap lint``."""

from __future__ import annotations

from dataclasses import dataclass

from pingap.build.runtime import Runtime
from pingap.config import Problem
from pingap.config.problem import KeyPath


@dataclass(frozen=True, slots=True)
class Finding:
    """A probable mistake in a configuration.

    :param id: its kind; never changes its meaning.
    :param problem: its place and the problem.
    :param fix: how to fix it.
    """

    id: str
    problem: Problem
    fix: str


def finding(runtime: Runtime, kind: str, path: KeyPath, message: str, fix: str) -> Finding:
    """Return a finding about a key of the configuration."""
    return Finding(kind, runtime.config.source.problem(path, message), fix)
