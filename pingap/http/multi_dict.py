"""Names and values decoded from a query, a form or the cookies of a request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import overload


class MultiDict:
    """Names and values in the order they came; immutable. A name may have several values.

    Of several values, ``get`` and ``[]`` return the first one, as :meth:`Request.cookie` does.
    Iteration yields pairs, and ``len`` counts them.

    :param pairs: names and values.
    """

    __slots__ = ("_pairs", "_values")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = tuple(pairs)
        self._values: dict[str, list[str]] = {}
        for name, value in self._pairs:
            self._values.setdefault(name, []).append(value)

    @overload
    def get(self, name: str, default: str) -> str: ...

    @overload
    def get(self, name: str, default: None = None) -> str | None: ...

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value with this name, or ``default``."""
        values = self._values.get(name)
        return default if values is None else values[0]

    def get_all(self, name: str) -> list[str]:
        """Return every value with this name, in order."""
        return self._values.get(name, []).copy()

    def items(self) -> list[tuple[str, str]]:
        """Return every name with its value, in order."""
        return list(self._pairs)

    def __getitem__(self, name: str) -> str:
        return self._values[name][0]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MultiDict) and self._pairs == other._pairs

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __repr__(self) -> str:
        return f"MultiDict({list(self._pairs)!r})"
