"""Header fields as they were on the wire.

This is not ``pingap.Headers``: code that checks a proxy shares no code with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import SupportsIndex, TypeAlias, overload

FieldsLike: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]


class Fields(list[tuple[str, str]]):
    """A list of (name, value) that also allows access by name, ignoring case.

    ``fields["Content-Type"]`` is the first value; ``"content-type" in fields`` tests whether there is one.
    """

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value with this name, or ``default``."""
        return next(iter(self.get_all(name)), default)

    def get_all(self, name: str) -> list[str]:
        """Return every value with this name, in order."""
        return [value for key, value in self if key.lower() == name.lower()]

    @overload
    def __getitem__(self, place: str) -> str: ...
    @overload
    def __getitem__(self, place: SupportsIndex) -> tuple[str, str]: ...
    @overload
    def __getitem__(self, place: slice) -> list[tuple[str, str]]: ...
    def __getitem__(
        self, place: str | SupportsIndex | slice
    ) -> str | tuple[str, str] | list[tuple[str, str]]:
        if not isinstance(place, str):
            return super().__getitem__(place)
        if (value := self.get(place)) is None:
            names = ", ".join(dict.fromkeys(name for name, _ in self)) or "none at all"
            raise KeyError(f"there is no field {place!r}, only: {names}")
        return value

    def __contains__(self, wanted: object) -> bool:
        if isinstance(wanted, str):
            return bool(self.get_all(wanted))
        return super().__contains__(wanted)


def pairs(fields: FieldsLike) -> list[tuple[str, str]]:
    """Return fields as pairs, from any form."""
    return list(fields.items()) if isinstance(fields, Mapping) else list(fields)


def parse_head(head: bytes) -> tuple[str, Fields]:
    """Return the first line of a head, and its fields."""
    first, *lines = head.decode("latin-1").split("\r\n")
    split = [line.partition(":")[::2] for line in lines if line]
    return first, Fields((name, value.strip()) for name, value in split)


def write_head(first: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """Return a head as bytes; names and values are sent unchanged, even if they are invalid."""
    lines = [first, *(f"{name}: {value}" for name, value in fields), "", ""]
    text = "\r\n".join(lines)
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()
