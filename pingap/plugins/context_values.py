"""Request values that distributions define (``pingap_context_keys``), as variables and log tags."""

from __future__ import annotations

from functools import partial
from typing import Any

from pingap.config.variables import Lookup
from pingap.http.context import RequestContext
from pingap.http.context_keys import ContextKey
from pingap.http.headers import field
from pingap.http.request import Request
from pingap.plugins.kinds import CONTEXT_KEY
from pingap.plugins.registry import MissingPluginError, PluginLoadError, Registry


class DistributionKeys:
    """Finds the keys of distributions.

    :param registry: of the installed distributions.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def names(self) -> list[str]:
        """Return the names of all keys."""
        return self._registry.names(CONTEXT_KEY)

    def find(self, name: str) -> Lookup | None:
        """Return the lookup for a name; None if no distribution defines it.

        :raises ValueError: its distribution cannot be used.
        """
        try:
            return partial(_text, self._registry.find(CONTEXT_KEY, name))
        except MissingPluginError:
            return None
        except PluginLoadError as error:
            raise ValueError(f"{name}: {error}") from error


def _text(key: ContextKey[Any], request: Request, ctx: RequestContext) -> str | None:
    """Return the value as text that is allowed in a header; None if there is none."""
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
