"""Hooks that belong to the process, not to a request: collected once, called from a tuple.

Distributions implement them at module level, plugins as methods; see ``hookspecs.INSTANCE_HOOKS``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pingap import hookspecs
from pingap.http.errors import PluginError
from pingap.plugins.base import Plugin
from pingap.plugins.chains import Call, Instance, adapt
from pingap.plugins.checks import place_of_function
from pingap.plugins.registry import Registry

CONNECTION: Final = "pingap_connection"

Handlers: TypeAlias = "Mapping[str, tuple[Handler, ...]]"
"""Hook -> its implementations, in the order in which they run."""


@dataclass(frozen=True, slots=True)
class Handler:
    """One implementation of a hook.

    :param call: takes all arguments of the hook.
    :param name: of the plugin instance, or of the distribution.
    :param hook: its name.
    :param plugin: the object that has it; None for a distribution.
    """

    call: Call
    name: str
    hook: str
    plugin: Plugin | None = None
    place: str = ""
    """File and line of the function."""

    def failure(self, error: BaseException) -> PluginError:
        """Return the report of an exception that it raised."""
        failure = PluginError(self.name, self.hook, self.place)
        failure.__cause__ = error
        return failure


def process_handlers(registry: Registry, instances: Iterable[Instance]) -> Handlers:
    """Return all implementations, by hook: first of distributions, by name, then of plugin instances."""
    found: dict[str, list[Handler]] = {hook: [] for hook in hookspecs.INSTANCE_HOOKS}
    for hook, known in found.items():
        for impl in registry.implementations(hook):
            known.append(_handler(impl.function, impl.argnames, impl.plugin_name, hook))
    methods: dict[type[Plugin], list[tuple[str, str]]] = {}
    for instance in instances:
        cls = type(instance.plugin)
        if cls not in methods:
            methods[cls] = list(methods_of(cls))
        for hook, name in methods[cls]:
            method = getattr(instance.plugin, name)
            wanted = inspect.signature(method).parameters
            found[hook].append(_handler(method, wanted, instance.name, hook, instance.plugin))
    return {hook: tuple(known) for hook, known in found.items()}


def takes_part_in_servers(cls: type[Plugin]) -> bool:
    """Return whether a plugin class does anything for a server that lists its instances."""
    if any(hasattr(cls, phase) for phase in hookspecs.SERVER_PHASES):
        return True
    return any(hook == CONNECTION for hook, _ in methods_of(cls))


def server_handlers(
    all_handlers: Iterable[Handler], instances: Iterable[Instance]
) -> tuple[Handler, ...]:
    """Return the handlers of distributions, and those of the plugins of a server, in that order.

    :param instances: the plugins of the server, in their order.
    """
    found = list(all_handlers)
    own = [one for one in found if one.plugin is None]
    for instance in instances:
        own += [one for one in found if one.plugin is instance.plugin]
    return tuple(own)


def methods_of(cls: type[Plugin]) -> Iterator[tuple[str, str]]:
    """Yield each process hook that a plugin class implements, and the name of its method."""
    for name in dir(cls):
        mark = getattr(getattr(cls, name, None), hookspecs.MARK, None)
        if mark is not None and (hook := mark.get("specname") or name) in hookspecs.INSTANCE_HOOKS:
            yield hook, name


def _handler(
    function: Callable[..., Any],
    wanted: Iterable[str],
    name: str,
    hook: str,
    plugin: Plugin | None = None,
) -> Handler:
    offered = tuple(inspect.signature(getattr(hookspecs, hook)).parameters)
    call = adapt(function, tuple(one for one in wanted if one in offered), offered)
    return Handler(call, name, hook, plugin, place_of_function(function))
