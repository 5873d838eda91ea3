"""Typed keys for what plugins keep with a request."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class ContextKey(Generic[T]):
    """A key of :class:`pingap.RequestContext` for values of one type.

    Made once, at the top of a module; plugins of other distributions may import it::

        COUNTRY = ContextKey[str]("country", "unknown")

        ctx[COUNTRY] = "CH"       # in the plugin that finds it out
        country = ctx[COUNTRY]    # "unknown" if no plugin set it

    :param name: for error messages and debugging; two keys with the same name are different keys.
    :param default: what a request has that no plugin gave a value; without it, reading is a ``KeyError``.
    """

    __slots__ = ("default", "name")

    def __init__(self, name: str, *default: T) -> None:
        self.name = name
        self.default = default

    def __repr__(self) -> str:
        return f"ContextKey({self.name!r})"
