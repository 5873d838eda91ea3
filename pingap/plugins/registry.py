"""Finding plugins: installed distributions, what they provide, and loading only what is used.

A distribution declares entry points in the group ``pingap``: one named after each category it
provides, one named ``location:<key>`` for each key of locations it claims, and one named
``discovery:<word>`` for each kind of discovery. So it is known who provides what before anything of
it is imported.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Awaitable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Final, cast

import pluggy
from pluggy import HookimplOpts

from pingap import hookspecs
from pingap.config import distributions
from pingap.config.problem import did_you_mean, quoted
from pingap.plugins.api_version import register, what_this_is
from pingap.plugins.balancer import WORDS, BalancerFactory
from pingap.plugins.base import Plugin
from pingap.plugins.chains import ContractError, check_class
from pingap.plugins.discovery import Discovery
from pingap.plugins.foreign_code import is_from_outside

log = logging.getLogger("pingap")

GROUP: Final = "pingap"
_LOCATION_KEY: Final = "location:"
_BALANCER: Final = "balancer:"
_DISCOVERY: Final = "discovery:"

BLOCK_VARIABLE: Final = "PINGAP_BLOCK_PLUGINS"
"""The environment variable that names distributions that are not to be used."""


class MissingPluginError(Exception):
    """Nothing that is installed provides a category; the message says what to install."""


class PluginLoadError(Exception):
    """A distribution cannot be used; the message names it and says why."""


class _ApplicationManager(pluggy.PluginManager):
    """The pluggy manager of application hooks; phases are left to those of locations."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> HookimplOpts | None:
        return super().parse_hookimpl_opts(plugin, name) if name.startswith("pingap_") else None


class _ApplicationSpecs:
    """The application hooks of ``hookspecs``, without the phases."""


for _name in hookspecs.APPLICATION_HOOKS:
    setattr(_ApplicationSpecs, _name, staticmethod(getattr(hookspecs, _name)))


class Registry:
    """The installed distributions, loaded when something of theirs is used.

    :param core: plugins of pluggy that come with the core; name -> module or class.
    :param points: entry points of the group ``pingap``; those that are installed by default.
    """

    def __init__(
        self, core: Mapping[str, object], points: Iterable[EntryPoint] | None = None
    ) -> None:
        found = entry_points(group=GROUP) if points is None else points
        self._points: dict[str, list[EntryPoint]] = {}
        self._blocked: dict[str, str] = {}
        self.warnings: list[str] = []
        """What the operator should know of the distributions that were loaded."""
        self._sort(found)
        self._manager = _ApplicationManager("pingap")
        self._manager.add_hookspecs(_ApplicationSpecs)
        self._classes: dict[str, type[Plugin]] = {}
        self._key_classes: dict[str, type[Plugin]] = {}
        self._balancers: dict[str, BalancerFactory] = {}
        self._discoveries: dict[str, type[Discovery]] = {}
        for name, plugin in core.items():
            self._manager.register(plugin, name=name)
        self._take_in()

    def _sort(self, points: Iterable[EntryPoint]) -> None:
        """Take in entry points, but for those of distributions that the environment blocks."""
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
        """Take in a plugin class that no entry point names; it wins over those that are installed.

        :raises PluginLoadError: the class breaks the contract.
        """
        if (other := self._classes.get(cls.category)) is not None:
            raise PluginLoadError(f"{cls.category!r} is the category of {cls!r} and of {other!r}")
        try:
            self._manager.register(
                cls, name=f"{cls.__module__}.{cls.__qualname__} ({cls.category})"
            )
            self._take_in()
        except BaseException as error:
            raise PluginLoadError(f"{cls!r} cannot be used: {error}") from error

    @property
    def categories(self) -> list[str]:
        """Names of all categories that installed distributions provide."""
        installed = {name for name in self._points if ":" not in name}
        return sorted(installed | self._classes.keys())

    @property
    def points(self) -> list[EntryPoint]:
        """Every entry point, of all installed distributions, sorted by name."""
        return [point for _, points in sorted(self._points.items()) for point in points]

    @property
    def location_keys(self) -> dict[str, str]:
        """Keys of locations that are claimed -> the distribution that claims each."""
        installed = {
            name.removeprefix(_LOCATION_KEY): owner
            for name, owner in (
                *self._blocked.items(),  # so that the error can say so
                *((name, _distribution(points[0])) for name, points in self._points.items()),
            )
            if name.startswith(_LOCATION_KEY)
        }
        return {key: cls.__module__ for key, cls in self._key_classes.items()} | installed

    def category(self, name: str) -> type[Plugin]:
        """Return the plugin class of a category, importing its distribution.

        :raises MissingPluginError: no installed distribution provides it.
        :raises PluginLoadError: the distribution cannot be imported or breaks the contract.
        """
        if name not in self._classes:
            self._load(name)
            if name not in self._classes:
                owner = _distribution(self._points[name][0])
                raise PluginLoadError(
                    f"the entry point {name!r} of {owner} leads to no such category: it must be "
                    f'MODULE:CLASS, of a plugin class with category = "{name}"'
                )
        return self._classes[name]

    def location_key(self, key: str) -> type[Plugin]:
        """Return the plugin class that serves a key of locations; raises as ``category``."""
        if key not in self._key_classes:
            self._load(_LOCATION_KEY + key)
            if key not in self._key_classes:
                raise PluginLoadError(f"its entry point for the key {key!r} leads to no claim")
        return self._key_classes[key]

    def balancer(
        self, word: str, local: Mapping[str, BalancerFactory] = MappingProxyType({})
    ) -> BalancerFactory:
        """Return what makes the balancers of a word of ``algo``.

        :param local: those of files, which are not installed.
        :raises MissingPluginError: nobody provides it.
        :raises PluginLoadError: as ``category``.
        """
        if word in local:
            return local[word]
        if word not in self._balancers:
            name = _BALANCER + word
            if name not in self._points and name not in self._blocked:
                words = self._balancer_words(local)
                raise MissingPluginError(
                    f"expected one of {', '.join(words)}{did_you_mean(word, words)}"
                )
            self._load(name)
            if word not in self._balancers:
                raise PluginLoadError(f"its entry point for algo = {word!r} leads to no balancer")
        return self._balancers[word]

    def has_balancer(self, word: str) -> bool:
        """Tell whether the core or an installed distribution has a word of ``algo``."""
        return word in self._balancers or _BALANCER + word in self._points

    def _balancer_words(self, local: Iterable[str]) -> list[str]:
        """Return what ``algo`` may say: the forms of the core, and the words of plugins."""
        points = {name for name in self._points if name.startswith(_BALANCER)}
        words = {name.removeprefix(_BALANCER) for name in points} | self._balancers.keys()
        own = {form.partition(":")[0] for form in WORDS}
        return [*WORDS, *sorted(words.union(local) - own)]

    @property
    def discoveries(self) -> list[str]:
        """Words of all kinds of discovery that are installed."""
        installed = {
            name.removeprefix(_DISCOVERY) for name in self._points if name.startswith(_DISCOVERY)
        }
        return sorted(installed | self._discoveries.keys())

    def discovery(self, word: str) -> type[Discovery]:
        """Return the class of a kind of discovery; raises as ``category``."""
        if word not in self._discoveries:
            name = _DISCOVERY + word
            if name not in self._points and name not in self._blocked:
                raise MissingPluginError(_how_to_discover(word, self.discoveries))
            self._load(name)
            if word not in self._discoveries:
                owner = _distribution(self._points[name][0])
                raise PluginLoadError(
                    f"the entry point {name!r} of {owner} leads to no such discovery: it must be "
                    f'MODULE:CLASS, of a subclass of pingap.Discovery with word = "{word}"'
                )
        return self._discoveries[word]

    def _load(self, name: str) -> None:
        points = self._points.get(name, [])
        if not points and name in self._blocked:
            owner = self._blocked[name]
            raise MissingPluginError(f"its distribution {owner} is blocked by {BLOCK_VARIABLE}")
        if not points:
            raise MissingPluginError(_how_to_get(name) + did_you_mean(name, self.categories))
        if len(points) > 1:
            owners = ", ".join(sorted(_distribution(point) for point in points))
            raise PluginLoadError(f"{name!r} is provided by several distributions: {owners}")
        (point,) = points
        try:
            self._register(point)
        except BaseException as error:
            text = f"{_distribution(point)} cannot be loaded: {error}"
            if isinstance(error, ImportError) and error.name == "pingap":  # a name it should have
                text += f"; {what_this_is()} of the hook contract"
            raise PluginLoadError(text) from error

    def _register(self, point: EntryPoint) -> None:
        loaded = point.load()
        if self._manager.is_registered(loaded):
            return
        name = f"{_distribution(point)} ({point.value})"
        self.warnings += [
            f"{name}: {deprecated}" for deprecated in register(self._manager, loaded, name)
        ]
        try:
            self._take_in()
        except BaseException:
            self._manager.unregister(loaded)  # or the next distribution would fail with it
            raise

    def _take_in(self) -> None:
        self._manager.check_pending()
        for classes in self._manager.hook.pingap_plugin_categories():
            for cls in classes:
                check_class(cls)
                if not hasattr(cls, "category"):
                    name = f"{cls.__module__}.{cls.__qualname__}"
                    raise ContractError(f'{name}: set category = "..." on the class')
                self._classes.setdefault(cls.category, cls)
        for claims in self._manager.hook.pingap_location_keys():
            for key, cls in claims.items():
                check_class(cls)
                self._key_classes.setdefault(key, cls)
        for balancers in self._manager.hook.pingap_balancers():
            for word, factory in balancers.items():
                self._balancers.setdefault(word, factory)
        for kinds in self._manager.hook.pingap_discoveries():
            for kind in kinds:
                if not hasattr(kind, "word"):
                    name = f"{kind.__module__}.{kind.__qualname__}"
                    raise ContractError(f'{name}: set word = "..." on the class')
                self._discoveries.setdefault(kind.word, kind)

    async def startup(self) -> None:
        """Call ``pingap_startup`` of every distribution that was loaded.

        :raises PluginLoadError: one of them raised.
        """
        for impl in self._manager.hook.pingap_startup.get_hookimpls():
            try:
                await cast("Awaitable[None]", impl.function())
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
    return point.dist.name if point.dist is not None else point.value


def _normalised(name: str) -> str:
    """Return the name of a distribution as it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _how_to_get(category: str) -> str:
    if distribution := distributions.CATEGORIES.get(category):
        return distributions.needs(distribution)
    return "no installed distribution provides this category"


def _how_to_discover(word: str, known: Iterable[str]) -> str:
    if distribution := distributions.DISCOVERIES.get(word):
        return distributions.needs(distribution)
    words = sorted({*known, *distributions.DISCOVERIES, "transparent"})
    hint = did_you_mean(word, words)
    return f"found {quoted(word)}, expected one of {', '.join(words)}{hint}"
