"""The settings models of configured plugins, needed to show settings without secrets."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from pingap.plugins.chains import Instance


def settings_models(*groups: Iterable[Instance]) -> dict[str, set[type[BaseModel]]]:
    """Return the settings model of each instance, by its name.

    :param groups: ``Runtime.plugins`` of one configuration, or of those before and after a change.
    """
    models: dict[str, set[type[BaseModel]]] = {}
    for instances in groups:
        for instance in instances:
            models.setdefault(instance.name, set()).add(type(instance.plugin).Settings)
    return models
