"""Leaves out documents that are optional and wrong, so that the others can be served."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from pingap.config.problem import KeyPath, Problem, dotted
from pingap.config.snapshot import Snapshot


def without_wrong(snapshot: Snapshot, problems: Iterable[Problem]) -> Snapshot | None:
    """Return a configuration without the optional documents that have problems.

    :param problems: errors, which become warnings of the result.
    :returns: None if no optional document has problems.
    """
    blamed = [one for one in problems if one.file in snapshot.optional]
    names = {one.file for one in blamed if one.file} - snapshot.left_out
    if not names:
        return None
    warnings = [_left_out(one, snapshot.optional[one.file]) for one in blamed if one.file in names]
    return replace(
        snapshot,
        left_out=snapshot.left_out | names,
        warnings=(*snapshot.warnings, *warnings),
    )


def _left_out(problem: Problem, keys: Mapping[str, str]) -> Problem:
    name = _name(problem.path, keys)
    message = ": ".join(part for part in (name, problem.message) if part)
    return Problem((), f"{message}; this is left out", problem.file, is_warning=True)


def _name(path: KeyPath, keys: Mapping[str, str]) -> str:
    """Return the name of a key in warnings, or that of the nearest key around it that has one."""
    for length in range(len(path), 0, -1):
        if found := keys.get(dotted(path[:length])):
            return found
    return dotted(path)
