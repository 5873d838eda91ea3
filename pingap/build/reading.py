"""Reading a configuration for commands of distributions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pingap.config.view import ConfigView


def read_config(places: Sequence[str] = ()) -> ConfigView:
    """Read and check a configuration when no event loop is running, as ``pingap -t`` does.

    :param places: the values of ``-c``; by default that of ``$PINGAP_CONF``.
    :raises ValueError: there is no configuration, or with all its problems, one in each line.

    .. versionadded:: 1.1
    """
    from pingap.build.loading import load_configuration, read_configuration
    from pingap.build.registry import installed_registry
    from pingap.config.problem import ConfigError

    found = [str(Path(one).expanduser()) if one.startswith("~") else one for one in places if one]
    found = found or [one for one in (os.environ.get("PINGAP_CONF", ""),) if one]
    if not found:
        raise ValueError("where is the configuration? Give -c PATH")
    registry = installed_registry()
    try:
        return ConfigView.of(load_configuration(read_configuration(found, registry), registry))
    except ConfigError as error:
        raise ValueError(str(error)) from None
