"""Loading a configuration, and reporting all its problems in one run."""

from __future__ import annotations

from pingap.build.plugins import PluginBuilder
from pingap.build.tls import TlsBuilder
from pingap.config import Config, ConfigError, Problem, Snapshot, load_snapshot
from pingap.plugins.registry import Registry


def load_configuration(snapshot: Snapshot, registry: Registry) -> Config:
    """Load a configuration from the text of its files.

    If it has problems, plugins and certificates are still checked, so that the operator sees all
    problems at once.

    :raises ConfigError: with all problems.
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
    """Return the problems of plugins and certificates whose tables are valid."""
    problems: list[Problem] = []
    warnings: list[Problem] = []
    plugins = PluginBuilder(config, registry, problems, warnings)
    plugins.build_configured()
    for name, settings in config.locations.items():
        plugins.chains(("locations", name), settings)
    TlsBuilder(config, problems, warnings).load_certificates()
    return problems
