"""Finding plugins: the installed distributions, what they provide, and loading only those in use.

A distribution declares entry points in the group ``pingap``: one named after each category it provides,
and one for each other thing it provides (``kinds``), such as ``location:<key>``. So pingap knows which
distribution provides a name before it imports anything.
"""

from __future__ import annotations

import inspect
import logging
import os
import re
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any, Final, TypeVar, cast

import pluggy

from pingap import hookspecs
from pingap.config.problem import did_you_mean, quoted
from pingap.config.view import ConfigView
from pingap.plugins.api_version import register, what_this_is
from pingap.plugins.application_hooks import ApplicationHooks
from pingap.plugins.base import Plugin
from pingap.plugins.chains import ContractError
from pingap.plugins.foreign_code import is_from_outside
from pingap.plugins.kinds import (
    CATEGORY,
    CERTIFICATE_SOURCE,
    CLAIMS,
    CONTEXT_KEY,
    HOOKS,
    INSTANCE,
    KINDS,
    Kind,
    kind_of,
)

T = TypeVar("T")

log = logging.getLogger("pingap")

GROUP: Final = "pingap"

BLOCK_VARIABLE: Final = "PINGAP_BLOCK_PLUGINS"
"""The environment variable that names distributions to ignore."""


class MissingPluginError(Exception):
    """No installed distribution provides a category; the message names what to install."""


class PluginLoadError(Exception):
    """A distribution cannot be used; the message names it and gives the reason."""


class Registry:
    """The installed distributions, each loaded when first used.

    :param core: the core's own pluggy plugins; name -> module or class.
    :param points: entry points of the group ``pingap``; those that are installed by default.
    """

    def __init__(
        self, core: Mapping[str, object], points: Iterable[EntryPoint] | None = None
    ) -> None:
        found = entry_points(group=GROUP) if points is None else points
        self._points: dict[str, list[EntryPoint]] = {}
        self._blocked: dict[str, str] = {}
        self.warnings: list[str] = []
        """Warnings for the operator about the loaded distributions."""
        self._sort(found)
        self._manager = ApplicationHooks()
        self._owner_of: dict[str, str] = {}
        """Name of a pluggy plugin -> its distribution."""
        self._definers: set[str] = set()
        """Distributions whose implementers are being loaded."""
        self._started: set[str] = set()
        """The pluggy plugins whose ``pingap_startup`` has run in this process."""
        self._waiting: list[object] = []
        """Plugins that implement hooks of other distributions."""
        self._loaded: dict[Kind[Any], dict[str, Any]] = {kind: {} for kind in KINDS}
        self._of_core: set[tuple[Kind[Any], str]] = set()
        """Names that a distribution may still replace."""
        for name, plugin in core.items():
            self._manager.register(plugin, name=name)
        self._take_in()
        self._of_core = {
            (kind, name) for kind in KINDS if kind.replaceable for name in self._loaded[kind]
        }

    def _sort(self, points: Iterable[EntryPoint]) -> None:
        """Add entry points, except those of distributions that the environment blocks."""
        written = [name.strip() for name in os.environ.get(BLOCK_VARIABLE, "").split(",")]
        blocked = {_normalised(name): name for name in written if name}
        known: dict[str, str] = {}
        for point in points:
            if blocked:
                name = _distribution(point)
                known[_normalised(name)] = name
                if _normalised(name) in blocked:
                    self._blocked.setdefault(point.name, name)
                    continue
            self._points.setdefault(point.name, []).append(point)
        for key in blocked.keys() - known.keys():
            hint = did_you_mean(blocked[key], known.values())
            text = (
                f"{BLOCK_VARIABLE}: no plugin distribution is called {quoted(blocked[key])}{hint}"
            )
            self.warnings.append(text)

    def offer(self, cls: type[Plugin]) -> None:
        """Add a plugin class without an entry point; it takes precedence over installed ones.

        :raises PluginLoadError: the class breaks the contract.
        """
        if (other := self._loaded[CATEGORY].get(cls.category)) is not None:
            raise PluginLoadError(f"{cls.category!r} is the category of {cls!r} and of {other!r}")
        try:
            self._manager.register(
                cls, name=f"{cls.__module__}.{cls.__qualname__} ({cls.category})"
            )
            self._take_in()
        except BaseException as error:
            raise PluginLoadError(f"{cls!r} cannot be used: {error}") from error

    @property
    def points(self) -> list[EntryPoint]:
        """Every entry point, of all installed distributions, sorted by name."""
        return [point for _, points in sorted(self._points.items()) for point in points]

    def names(self, kind: Kind[Any]) -> list[str]:
        """Return all names of a kind, of the core and of installed distributions, sorted."""
        installed = {
            name.removeprefix(kind.prefix) for name in self._points if kind_of(name) is kind
        }
        return sorted(installed | self._loaded[kind].keys())

    def owners(self, kind: Kind[Any]) -> dict[str, str]:
        """Return name -> the distribution that provides it, blocked ones included."""
        points = {name: _distribution(points[0]) for name, points in self._points.items()}
        return dict.fromkeys(self._loaded[kind], "pingap") | {
            name.removeprefix(kind.prefix): owner
            for name, owner in (*self._blocked.items(), *points.items())
            if kind_of(name) is kind
        }

    @property
    def claims(self) -> dict[str, dict[str, str]]:
        """Section, or ``basic`` -> claimed key -> the distribution that claims it.

        In ``plugins`` these are the names of instances that every configuration has.
        """
        kinds: dict[str, Kind[Any]] = {**CLAIMS, "plugins": INSTANCE}
        claims = {section: self.owners(kind) for section, kind in kinds.items()}
        claims["certificates"] |= self.owners(CERTIFICATE_SOURCE)
        return claims

    def find(self, kind: Kind[T], name: str, others: Iterable[str] = ()) -> T:
        """Return a thing by its name, importing its distribution.

        :param others: names of the kind that the registry does not know, for messages.
        :raises MissingPluginError: no installed distribution provides it.
        :raises PluginLoadError: the distribution cannot be imported or breaks the contract.
        """
        replaced = (kind, name) in self._of_core and kind.prefix + name in self._points
        if name not in self._loaded[kind] or replaced:
            self._load(kind, name, others)
            if name not in self._loaded[kind] or (kind, name) in self._of_core:
                point = kind.prefix + name
                owner = _distribution(self._points[point][0])
                wanted = kind.wanted.format(name=name)
                raise PluginLoadError(
                    f"the entry point {point!r} of {owner} does not refer to a {kind.label}: it must "
                    f"be {wanted}"
                )
        found: T = self._loaded[kind][name]
        return found

    def _load(self, kind: Kind[Any], name: str, others: Iterable[str]) -> None:
        points = self._points.get(kind.prefix + name, [])
        if not points and (owner := self._blocked.get(kind.prefix + name)):
            raise MissingPluginError(f"its distribution {owner} is blocked by {BLOCK_VARIABLE}")
        if not points:
            raise MissingPluginError(kind.how_to_get(name, {*self.names(kind), *others}))
        if len(points) > 1:
            owners = ", ".join(sorted(_distribution(point) for point in points))
            raise PluginLoadError(
                f"{kind.prefix + name!r} is provided by several distributions: {owners}"
            )
        self.load_point(points[0])

    def load_point(self, point: EntryPoint) -> None:
        """Load the distribution of an entry point.

        :raises PluginLoadError: it cannot be imported or breaks the contract.
        """
        try:
            self._register(point)
            if (kind := kind_of(point.name)).lazy:
                self._take(kind)
        except PluginLoadError:  # from a distribution that is loaded together with it
            raise
        except BaseException as error:
            text = f"{_distribution(point)} cannot be loaded: {error}"
            if (
                isinstance(error, ImportError) and error.name == "pingap"
            ):  # a name that pingap lacks
                text += f"; {what_this_is()} of the hook contract"
            raise PluginLoadError(text) from error

    def _register(self, point: EntryPoint) -> None:
        loaded = point.load()
        if self._manager.is_registered(loaded):
            return
        owner = _distribution(point)
        self._load_implementers(owner)
        if any(one.name.startswith(HOOKS.prefix) for one in self._points_of(owner)):
            self._waiting.append(loaded)
        name = f"{owner} ({point.value})"
        self._owner_of[name] = owner
        self.warnings += [
            f"{name}: {deprecated}" for deprecated in register(self._manager, loaded, name)
        ]
        before = {kind: dict(found) for kind, found in self._loaded.items()}
        of_core = set(self._of_core)
        try:
            self._take_in()
        except BaseException:
            self._manager.unregister(loaded)  # otherwise the next distribution would fail with it
            self._loaded, self._of_core = before, of_core
            raise

    def _load_implementers(self, owner: str) -> None:
        """Load the distributions that implement hooks of one that is about to be loaded.

        :raises PluginLoadError: one of them cannot be loaded.
        """
        if owner in self._definers:  # it implements hooks of one of its implementers
            return
        self._definers.add(owner)
        try:
            for one in self.points:
                definer = one.name.removeprefix(HOOKS.prefix)
                if definer != one.name and _normalised(definer) == _normalised(owner):
                    self.load_point(one)
        finally:
            self._definers.remove(owner)

    def _points_of(self, owner: str) -> list[EntryPoint]:
        return [point for point in self.points if _distribution(point) == owner]

    def _take_in(self) -> None:
        self._manager.take_specs()
        for hook in hookspecs.SYNC_HOOKS:
            for impl in self.implementations(hook):
                if inspect.iscoroutinefunction(impl.function):
                    raise ContractError(f"{hook} cannot be async")
        for kind in KINDS:
            if not kind.lazy:
                self._take(kind)
        self._manager.check_names(self._waiting)

    def _take(self, kind: Kind[Any]) -> None:
        """Add everything of a kind that loaded distributions provide."""
        for result in getattr(self._manager.hook, kind.hook)():
            for name, thing in kind.items(result).items():
                if (kind, name) in self._of_core and thing is not self._loaded[kind][name]:
                    self._of_core.remove((kind, name))
                    del self._loaded[kind][name]
                known = self._loaded[kind].setdefault(name, thing)
                if kind is CONTEXT_KEY and known is not thing:
                    raise ContractError(f"another distribution has a key called {name!r}")

    def implementations(self, hook: str) -> list[pluggy.HookImpl]:
        """Return the implementations of a hook in the loaded distributions, sorted by name."""
        found = getattr(self._manager.hook, hook).get_hookimpls()
        return sorted(found, key=lambda impl: impl.plugin_name)

    @property
    def hooks(self) -> pluggy.HookRelay:
        """All application hooks, to be called; includes those that distributions define."""
        return self._manager.hook

    def additions(
        self, hook: str, config: ConfigView, used: Container[str]
    ) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Yield the implementations of a hook that adds to a configuration, each with its distribution.

        :param hook: ``pingap_listeners`` or ``pingap_server_plugins``.
        :param used: the distributions that are asked.
        """
        for impl in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            owner = self._owner_of.get(impl.plugin_name, "")
            if owner in used:
                arguments = (config,) if impl.argnames else ()
                yield owner, partial(impl.function, *arguments)

    async def startup(self) -> None:
        """Call ``pingap_startup`` of every distribution that was loaded since the last call.

        :raises PluginLoadError: one of them raised.
        """
        for impl in self._manager.hook.pingap_startup.get_hookimpls():
            if impl.plugin_name in self._started:
                continue
            try:
                await cast("Awaitable[None]", impl.function())
                self._started.add(impl.plugin_name)
            except BaseException as error:
                if is_from_outside(error):
                    raise
                raise PluginLoadError(f"{impl.plugin_name} cannot start: {error}") from error

    async def shutdown(self) -> None:
        """Call ``pingap_shutdown`` of every distribution that was loaded."""
        for impl in self._manager.hook.pingap_shutdown.get_hookimpls():
            try:
                await cast("Awaitable[None]", impl.function())
            except BaseException as error:
                if is_from_outside(error):
                    raise
                log.exception("%s failed in pingap_shutdown", impl.plugin_name)


def _distribution(point: EntryPoint) -> str:
    return _name_of(point.dist) if point.dist is not None else point.value


@lru_cache(maxsize=256)
def _name_of(distribution: Distribution) -> str:
    """Return the name of a distribution, which requires parsing its metadata."""
    return distribution.name


def _normalised(name: str) -> str:
    """Return the name of a distribution in its normalised form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
