"""Typed keys for data that plugins keep with a request."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class ContextKey(Generic[T]):
    """A key of :class:`pingap.RequestContext` for values of one type.

    Created once, at the top of a module; plugins of other distributions can import it::

        COUNTRY = ContextKey[str]("country", "unknown")

            ctx[COUNTRY] = "CH"       # in the plugin that determines it
        country = ctx[COUNTRY]    # "unknown" if no plugin set it

    :param name: for error messages and debugging; two keys with the same name are different keys.
    :param default: the value if no plugin has set one; without it, reading raises ``KeyError``.
    """

    __slots__ = ("default", "name")

    def __init__(self, name: str, *default: T) -> None:
        self.name = name
        self.default = default

    def __repr__(self) -> str:
        return f"ContextKey({self.name!r})"
