"""Loading a configuration: everything that is wrong with it, in one run."""

from __future__ import annotations

from pingap.config import Config, ConfigError, Problem, Snapshot, load_snapshot
from pingap.plugin_builder import PluginBuilder
from pingap.plugins import Registry
from pingap.tls.build import TlsBuilder


def load_configuration(snapshot: Snapshot, registry: Registry) -> Config:
    """Load the texts of a configuration.

    If something is wrong with them, plugins and certificates are checked all the same: an operator
    should not have to correct one half to hear of the other.

    :raises ConfigError: with everything that is wrong.
    """
    try:
        return load_snapshot(snapshot, location_keys=registry.location_keys)
    except ConfigError as error:
        if error.partial is None:
            raise
        known = {problem.path for problem in error.problems}
        more = [one for one in _problems_of_parts(error.partial, registry) if one.path not in known]
        raise ConfigError([*error.problems, *more]) from None


def _problems_of_parts(config: Config, registry: Registry) -> list[Problem]:
    """Return what is wrong with plugins and certificates of which the tables can be read."""
    problems: list[Problem] = []
    warnings: list[Problem] = []
    plugins = PluginBuilder(config, registry, problems, warnings)
    plugins.build_configured()
    for name, settings in config.locations.items():
        plugins.chains(("locations", name), settings)
    TlsBuilder(config, problems, warnings).load_certificates()
    return problems
