"""Values of a request that distributions name (``pingap_context_keys``), as variables and log tags."""

from __future__ import annotations

from functools import partial
from typing import Any

from pingap.config.variables import Lookup
from pingap.http.context import RequestContext
from pingap.http.context_keys import ContextKey
from pingap.http.headers import field
from pingap.http.messages import Request
from pingap.plugins.kinds import CONTEXT_KEY
from pingap.plugins.registry import MissingPluginError, PluginLoadError, Registry


class DistributionKeys:
    """Finds the keys of distributions.

    :param registry: of what is installed.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def names(self) -> list[str]:
        """Return the names of all keys."""
        return self._registry.names(CONTEXT_KEY)

    def find(self, name: str) -> Lookup | None:
        """Return what a name stands for; None if no distribution has it.

        :raises ValueError: its distribution cannot be used.
        """
        try:
            return partial(_text, self._registry.find(CONTEXT_KEY, name))
        except MissingPluginError:
            return None
        except PluginLoadError as error:
            raise ValueError(f"{name}: {error}") from error


def _text(key: ContextKey[Any], request: Request, ctx: RequestContext) -> str | None:
    """Return the value as text that may stand in a header; None if there is none."""
    try:
        value = ctx[key]
    except KeyError:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        return None
    if value.isascii() and value.isprintable():
        return value
    try:
        field("X", value)
    except ValueError:
        return None
    return value
