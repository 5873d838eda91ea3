"""The version of the hook contract: which plugins fit it, and which use deprecated hooks or arguments.

Hooks and arguments are added, not changed: each minor version has more of them than the previous one.
A hook that will be removed is marked in ``hookspecs`` for at least one minor version first::

    @hookspec(warn_on_impl=DeprecatedHook("the hook rinse is deprecated: implement wash"))
"""

from __future__ import annotations

import re
import warnings

import pluggy

from pingap._version import __version__
from pingap.hookspecs import CONTRACT
from pingap.plugins.base import Plugin

_VERSION = re.compile(r"([0-9]+)\.([0-9]+)")


class DeprecatedHook(DeprecationWarning):
    """A hook or an argument is deprecated; the message names its successor."""


def as_text(version: tuple[int, int]) -> str:
    """Return a version of the contract in the form that plugins use: ``1.0``."""
    return f"{version[0]}.{version[1]}"


def misfit(cls: type[Plugin]) -> str | None:
    """Return why a plugin class does not fit the contract of this pingap; None if it fits."""
    match = _VERSION.fullmatch(cls.contract) if isinstance(cls.contract, str) else None
    if match is None:
        return f'contract = {cls.contract!r}, expected "MAJOR.MINOR" such as "{as_text(CONTRACT)}"'
    major, minor = int(match[1]), int(match[2])
    if major == CONTRACT[0] and minor <= CONTRACT[1]:
        return None
    newer = (major, minor) > CONTRACT
    advice = "a newer pingap is needed" if newer else "a newer release of the plugin is needed"
    return f"needs hook contract {cls.contract}, and {what_this_is()}: {advice}"


def what_this_is() -> str:
    """Return the contract that this pingap has, for messages."""
    return f"this pingap ({__version__}) has {as_text(CONTRACT)}"


def register(manager: pluggy.PluginManager, plugin: object, name: str) -> list[str]:
    """Register a plugin; return the deprecated hooks that it implements, with file and line.

    pluggy reports them as Python warnings, which few operators see.

    :raises pluggy.PluginValidationError: an implementation that does not fit its spec.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DeprecatedHook)
        manager.register(plugin, name=name)
    deprecated = []
    for one in caught:
        if issubclass(one.category, DeprecatedHook):
            deprecated.append(f"{one.message} ({one.filename}:{one.lineno})")
        else:  # of the plugin's own code
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return deprecated
