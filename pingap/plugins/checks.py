"""Checks that the methods of a plugin class fit the hooks, with messages for its author.

pluggy finds some of these errors when a location is built. But it ignores a method that should be marked
and is not, so the plugin would silently do nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import FunctionType

from pingap import hookspecs
from pingap.config.problem import did_you_mean
from pingap.plugins.base import Plugin


def place_of_function(function: object) -> str:
    """Return file and line of a function of a plugin; empty if it was not written in Python."""
    code = getattr(inspect.unwrap(function), "__code__", None)  # type: ignore[arg-type]
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""


def mistakes(cls: type[Plugin]) -> Iterator[tuple[str, FunctionType, str]]:
    """Yield the name of each method that is probably a mistake, its function, and the reason."""
    for name in dir(cls):
        static = inspect.getattr_static(cls, name)
        bound = not isinstance(static, staticmethod)
        function = getattr(static, "__func__", static)
        if not isinstance(function, FunctionType):
            continue
        mark = getattr(function, hookspecs.MARK, None)
        if mark is None:
            for names, what in ((hookspecs.PHASES, "phase"), (hookspecs.INSTANCE_HOOKS, "hook")):
                if name in names:
                    text = f"is named after a {what}: mark it with @hookimpl, or rename it"
                    yield name, function, text
            continue
        hook = mark.get("specname") or name
        if hook in hookspecs.SYNC_HOOKS and inspect.iscoroutinefunction(function):
            yield name, function, f"{hook} cannot be async"
        elif hook in (*hookspecs.PHASES, *hookspecs.INSTANCE_HOOKS):
            if text := _wrong_arguments(function, hook, bound=bound):
                yield name, function, text
        elif hook not in hookspecs.APPLICATION_HOOKS:
            known = (*hookspecs.PHASES, *hookspecs.APPLICATION_HOOKS)
            hint = did_you_mean(hook, known) or f" (phases: {', '.join(hookspecs.PHASES)})"
            yield name, function, f"there is no such hook{hint}"


def _wrong_arguments(function: FunctionType, phase: str, *, bound: bool) -> str:
    """Describe an argument that a phase does not pass; empty if there is none."""
    offered = list(inspect.signature(getattr(hookspecs, phase)).parameters)
    parameters = list(inspect.signature(function).parameters.values())[bound:]
    for one in parameters:
        if one.kind not in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD):
            continue
        has_default = one.default is not one.empty
        if one.name in offered and has_default:
            return f'"{one.name}" has a default value, so it is never passed: remove the default'
        if one.name not in offered and not has_default:
            hint = did_you_mean(one.name, offered)
            listed = ", ".join(offered)
            return f'{phase} has no argument "{one.name}"{hint} (arguments: {listed})'
    return ""
