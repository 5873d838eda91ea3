"""Chains: the implementations of one phase for one location, frozen into tuples.

pluggy finds, checks and orders the implementations when a location is built. At request time, a phase
is a loop over plain calls, and a phase without implementations is an empty tuple.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import pluggy
from pluggy import HookimplOpts

from pingap import hookspecs
from pingap.http.headers import header_key
from pingap.plugins.api_version import misfit, register
from pingap.plugins.base import Plugin, PluginSettings
from pingap.plugins.checks import mistakes, place_of_function

Call: TypeAlias = Callable[..., Any]
Chain: TypeAlias = "tuple[tuple[Call, Owner], ...]"
"""Calls, each with its plugin instance. Every call takes all arguments of the phase."""

_BODY_PHASES = ("request_body", "upstream_response_body", "response_body")


class ContractError(Exception):
    """A plugin class breaks the contract of hooks; the message gives the class and the reason.

    :param where: the class or method that is wrong, if known.
    """

    def __init__(self, message: str, where: Call | None = None) -> None:
        super().__init__(message)
        self.where = where


LOCAL: Final = "pingap_local_"
"""Prefix of the module names of single-file plugins."""

DEFAULT_TIMEOUT: Final = 30.0
"""Seconds an async hook may take (``plugins.*.timeout``)."""


@dataclass(frozen=True, slots=True, eq=False)
class Owner:
    """The plugin instance of a call in a chain, and what to do if the call fails.

    :param name: name of the plugin instance.
    :param fail_open: continue without the plugin instead of ending the request.
    :param timeout: seconds that an async call may take; None for no limit.
    :param places: phase -> file and line of its method.
    """

    name: str
    fail_open: bool = False
    timeout: float | None = DEFAULT_TIMEOUT
    places: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Instance:
    """A configured plugin.

    :param name: the key below ``[plugins]``.
    :param plugin: the object.
    :param step: the phase chosen by the key ``step``; None for the default.
    :param fail_open: the key ``fail_open``.
    :param timeout: the key ``timeout``; None for no limit.
    """

    name: str
    plugin: Plugin
    step: str | None = None
    fail_open: bool = False
    timeout: float | None = DEFAULT_TIMEOUT


@dataclass(frozen=True, slots=True)
class Chains:
    """The chains of one location or server, one for each phase (``hookspecs``)."""

    server_request: Chain = ()
    early_request: Chain = ()
    request: Chain = ()
    proxy_upstream: Chain = ()
    upstream_request: Chain = ()
    request_body: Chain = ()
    upstream_attempt: Chain = ()
    upstream_error: Chain = ()
    upstream_response: Chain = ()
    upstream_response_body: Chain = ()
    error_page: Chain = ()
    response: Chain = ()
    response_body: Chain = ()
    websocket: Chain = ()
    logging: Chain = ()
    rewriters: frozenset[str] = frozenset()
    """Names of the instances whose body filters change the length."""
    filters_response: bool = False
    """Whether a plugin may filter response bodies."""
    whole_body: int = 0
    """The largest request body, in bytes, that a plugin needs whole; 0 if none needs it."""
    owned_headers: tuple[bytes, ...] = ()
    """Request headers that only plugins set; those from clients are dropped."""
    prepares: bool = field(init=False)
    """Whether anything runs before the phase ``request``."""
    plugins: bool = field(init=False)
    """Whether a plugin may see the request or the response, and keep a reference to it."""

    def __post_init__(self) -> None:
        plugins = any(getattr(self, phase) for phase in hookspecs.PHASES)
        object.__setattr__(self, "plugins", plugins)
        prepares = bool(
            self.owned_headers or self.early_request or self.whole_body or self.websocket
        )
        object.__setattr__(self, "prepares", prepares)

    def wrapped(self, wrap: Callable[[Call, Owner, str], Call]) -> Chains:
        """Return the same chains with every call wrapped.

        :param wrap: takes the call, its owner and the phase.
        """
        chains: dict[str, Any] = {
            phase: tuple((wrap(call, owner, phase), owner) for call, owner in getattr(self, phase))
            for phase in hookspecs.PHASES
        }
        return replace(self, **chains)


NO_CHAINS: Final = Chains()


class _LocationManager(pluggy.PluginManager):
    """The pluggy manager of one location: registers phases and ignores application hooks."""

    def __init__(self) -> None:
        super().__init__("pingap")
        self.add_hookspecs(_Phases)
        self.chosen_step: str | None = None

    def parse_hookimpl_opts(self, plugin: object, name: str) -> HookimplOpts | None:
        if name.startswith("pingap_"):
            return None
        opts = super().parse_hookimpl_opts(plugin, name)
        if opts is None or not isinstance(plugin, Plugin):
            return None
        if (active := plugin.active_phases()) is not None and name not in active:
            return None
        if opts["wrapper"] or opts["hookwrapper"]:
            raise ContractError(
                f"{_describe(plugin)}.{name} is a hook wrapper; use two phases instead"
            )
        if self.chosen_step and plugin.steps[:1] == (name,):
            opts = {**opts, "specname": self.chosen_step}  # pluggy's dict belongs to the function
        return opts


class _Phases:
    """The phase specs of ``hookspecs``, without the application hooks."""


for _name in hookspecs.PHASES:
    setattr(_Phases, _name, staticmethod(getattr(hookspecs, _name)))


def freeze(
    instances: Sequence[Instance],
    tell: Callable[[Instance, str], None] = lambda *_: None,
    phases: Sequence[str] = hookspecs.LOCATION_PHASES,
) -> Chains:
    """Build the chains of a location, or of a server, from its plugins, in listed order.

    :param tell: called with an instance and each deprecated hook or argument that it implements.
    :param phases: the phases to build.
    :raises ContractError: an implementation that no phase can call.
    """
    manager = _LocationManager()
    # pluggy calls the last registered plugin first, so we register in reverse.
    owners: dict[int, Owner] = {}
    for instance in reversed(instances):
        owner = Owner(instance.name, instance.fail_open, instance.timeout)
        owners[id(instance.plugin)] = owner
        manager.chosen_step = instance.step
        try:
            for deprecated in register(manager, instance.plugin, instance.name):
                tell(instance, deprecated)
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise ContractError(_explain(error, instance.plugin)) from None
    chains = {phase: _chain(getattr(manager.hook, phase), owners) for phase in phases}
    # A manager and its callers form a reference cycle. Unless it is broken here, only the garbage
    # collector frees them, and a reload with thousands of locations would block the loop for it.
    vars(manager.hook).clear()
    limits = [one.plugin.whole_request_body for one in instances if one.plugin.whole_request_body]
    return Chains(
        **chains,
        rewriters=frozenset(one.name for one in instances if one.plugin.body == "rewrites"),
        filters_response=any(map(chains.get, ("upstream_response_body", "response_body"))),
        whole_body=min(limits, default=0),
        owned_headers=owned_headers(instances),
    )


def joined(first: Chains, second: Chains, owned: tuple[bytes, ...]) -> Chains:
    """Return chains that run in each phase the calls of the first, then those of the second.

    :param owned: the request headers that only plugins of both set.
    """
    phases = {phase: getattr(first, phase) + getattr(second, phase) for phase in hookspecs.PHASES}
    limits = [chains.whole_body for chains in (first, second) if chains.whole_body]
    return Chains(
        **phases,
        rewriters=first.rewriters | second.rewriters,
        filters_response=first.filters_response or second.filters_response,
        whole_body=min(limits, default=0),
        owned_headers=owned,
    )


def owned_headers(instances: Sequence[Instance]) -> tuple[bytes, ...]:
    """Return the request headers that plugins add and that no plugin reads from the client."""
    added = {header_key(name) for one in instances for name in one.plugin.adds_headers}
    read = {header_key(name) for one in instances for name in one.plugin.reads_headers}
    return tuple(sorted(added - read))


def check_class(plugin: type[Plugin]) -> None:
    """Check the declarations of a plugin class against its implementation.

    :raises ContractError: a declaration does not hold, or the contract has another version.
    """
    if reason := misfit(plugin):
        raise ContractError(f"{_describe(plugin)}: {reason}")
    if not (inspect.isclass(plugin.Settings) and issubclass(plugin.Settings, PluginSettings)):
        raise ContractError(f"{_describe(plugin)}.Settings: base it on pingap.PluginSettings")
    for name, function, reason in mistakes(plugin):
        raise ContractError(f"{_describe(plugin)}.{name}: {reason}", function)
    for step in plugin.steps:
        if step not in hookspecs.PHASES:
            raise ContractError(f"{_describe(plugin)}.steps: {step!r} is not a phase")
    if plugin.guard and plugin.may_fail_open:
        raise ContractError(f"{_describe(plugin)}: a guard cannot fail open")
    if plugin.body == "none":
        for phase in _BODY_PHASES:
            if hasattr(plugin, phase):
                raise ContractError(
                    f'{_describe(plugin)}.{phase}: set body = "reads" or "rewrites" on the class'
                )


def _chain(caller: pluggy.HookCaller, owners: dict[int, Owner]) -> Chain:
    offered = tuple(caller.spec.argnames) if caller.spec else ()
    for impl in caller.get_hookimpls():
        owners[id(impl.plugin)].places[caller.name] = place_of_function(impl.function)
    return tuple(
        (adapt(impl.function, tuple(impl.argnames), offered), owners[id(impl.plugin)])
        for impl in reversed(caller.get_hookimpls())
    )


def adapt(function: Call, wanted: tuple[str, ...], offered: tuple[str, ...]) -> Call:
    """Return a call that takes all arguments of a phase and passes on those that the function names."""
    if wanted == offered:
        return function
    places = [offered.index(name) for name in wanted]
    if not places:
        return lambda *arguments: function()
    if len(places) == 1:
        (place,) = places
        if len(offered) == 2:
            if place == 0:
                return lambda first, second: function(first)
            return lambda first, second: function(second)
        return lambda *arguments: function(arguments[place])
    return lambda *arguments: function(*[arguments[place] for place in places])


def _describe(plugin: object) -> str:
    cls = plugin if inspect.isclass(plugin) else type(plugin)
    if cls.__module__.startswith(LOCAL):  # the file is shown separately
        return cls.__qualname__
    return f"{cls.__module__}.{cls.__qualname__}"


def _explain(error: pluggy.PluginValidationError, plugin: Plugin) -> str:
    known: Iterable[str] = hookspecs.PHASES
    return f"{_describe(plugin)}: {error} (phases: {', '.join(known)})"
