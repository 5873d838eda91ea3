"""The registry of all implementations: those of the core and those of distributions."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint

from pingap.build import builtin
from pingap.build.storages import OwnStorages
from pingap.plugins.registry import Registry
from pingap.plugins.static_certificates import StaticCertificates
from pingap.upstream.balancing import standard
from pingap.upstream.discovering.static import StaticDiscovery


def installed_registry(points: Iterable[EntryPoint] | None = None) -> Registry:
    """Return a registry that knows the core's implementations and those of distributions.

    :param points: entry points of the group ``pingap``; those that are installed by default.
    """
    own = OwnStorages()
    core = {
        "pingap": standard,
        "pingap (static)": StaticDiscovery,
        "pingap (instances)": builtin,
        "pingap (certificates)": StaticCertificates,
        "pingap (storages)": own,
    }
    own.registry = registry = Registry(core, points)
    return registry
