"""Header fields: names and values as on the wire, text on access. Nothing here does IO."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import compress
from typing import Final, TypeAlias, overload

from mypy_extensions import mypyc_attr

Field: TypeAlias = tuple[bytes, bytes]
"""A header field, ready to be sent: its name in lower case, and its line ``Name: value``."""

TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A method or a field name (RFC 9110, 5.6.2)."""
FIELD_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
"""A field value, between its white space (RFC 9110, 5.5)."""
# Integers: ``b"\r" in line`` raises and drops an exception inside CPython, ``13 in line`` does not.
_CR: Final = 13
_LF: Final = 10
_NUL: Final = 0


@lru_cache(maxsize=1024)
def header_key(name: str) -> bytes:
    """Return the name in the form in which names are compared: lower-case bytes."""
    return name.lower().encode("latin-1", "replace")


def field(name: str, value: str) -> Field:
    """Check and encode a header field once, so that it can be used for every request.

    :param name: a token (RFC 9110, 5.6.2).
    :param value: visible text; characters outside Latin-1 are sent as UTF-8.
    :raises ValueError: a character that is invalid in a header field (RFC 9110, 5.5).
    """
    raw_name = name.encode("ascii", "replace")
    if not TOKEN.fullmatch(raw_name):
        raise ValueError(f"{name!r} is not a header name")
    try:
        raw_value = value.encode("latin-1").strip(b" \t")
    except UnicodeEncodeError:
        raw_value = value.encode("utf-8").strip(b" \t")
    if not FIELD_VALUE.fullmatch(raw_value):
        raise ValueError(f"the value of header {name} has a control character")
    return raw_name.lower(), b"%b: %b" % (raw_name, raw_value)


set_unchecked: Final = object.__setattr__
"""Assigns attributes that plugins may not assign, or no longer."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Headers:
    """Header fields in their original order, names compared without case (RFC 9110, 5.1).

    A plugin that prepared its fields with :func:`field` can use ``append``, ``replace`` and ``find``, which
    do not check and encode again.

    Fields are stored as on the wire, with their lower-case names in a second list, so that reading, looking
    up and writing fields are single operations on Python lists.

    :param fields: names and values, or prepared fields.
    """

    __slots__ = ("keys", "lines")

    def __init__(self, fields: Iterable[Field] | Mapping[str, str] = ()) -> None:
        self.keys: list[bytes] = []
        """The names in lower case."""
        self.lines: list[bytes] = []
        """``Name: value``, each at the index of its key."""
        if fields == ():
            return
        if isinstance(fields, Mapping):
            fields = [field(name, value) for name, value in fields.items()]
        for prepared in fields:
            if not isinstance(prepared[1], bytes):
                raise TypeError(
                    f"{prepared!r:.60} is not a prepared field; pass names and values as a dict"
                )
            self.append(prepared)

    @property
    def fields(self) -> list[Field]:
        """All fields, prepared. Can be assigned; changing the returned list has no effect."""
        return list(zip(self.keys, self.lines, strict=True))

    @fields.setter
    def fields(self, fields: Iterable[Field]) -> None:
        self.__init__(fields)  # type: ignore[misc]

    @overload
    def get(self, name: str, default: str) -> str: ...

    @overload
    def get(self, name: str, default: None = None) -> str | None: ...

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value with this name, or ``default``.

        A field on several lines is one list (RFC 9110, 5.3): the values are joined with ``, ``, those of
        ``Cookie`` with ``; ``. ``Set-Cookie`` is not a list: its first value is returned; use ``get_all`` for
        all of them.
        """
        value = self.find(header_key(name))
        return default if value is None else value.decode("latin-1")

    def find(self, key: bytes) -> bytes | None:
        """Return the value of ``get`` as bytes.

        :param key: the name in lower case.
        """
        keys = self.keys
        if key in keys:
            if keys.count(key) == 1 or key == b"set-cookie":
                return self.lines[keys.index(key)][len(key) + 2 :]
            return (b"; " if key == b"cookie" else b", ").join(self.find_all(key))
        return None

    def get_all(self, name: str) -> list[str]:
        """Return every value with this name, in order."""
        return [value.decode("latin-1") for value in self.find_all(header_key(name))]

    def find_all(self, key: bytes) -> list[bytes]:
        """Return every value, as bytes, of the name that is given in lower case."""
        if key not in self.keys:
            return []
        start = len(key) + 2
        return [
            line[start:] for known, line in zip(self.keys, self.lines, strict=True) if known == key
        ]

    def set(self, name: str, value: str) -> None:
        """Replace every field with this name by one.

        :raises ValueError: as :func:`field`.
        """
        self.replace(field(name, value))

    def add(self, name: str, value: str) -> None:
        """Append a field; fields with the same name are kept.

        :raises ValueError: as :func:`field`.
        """
        self.append(field(name, value))

    def set_default(self, name: str, value: str) -> None:
        """Set a field unless there is one with this name.

        :raises ValueError: as :func:`field`.
        """
        if name not in self:
            self.append(field(name, value))

    def remove(self, name: str) -> None:
        """Drop every field with this name."""
        self.discard(header_key(name))

    def discard(self, key: bytes) -> None:
        """Drop every field with the name that is given in lower case."""
        keys = self.keys
        if key in keys:
            # One pass, because there may be thousands.
            kept = [known != key for known in keys]
            self.lines[:] = compress(self.lines, kept)
            keys[:] = compress(keys, kept)

    def append(self, prepared: Field) -> None:
        """Append a prepared field.

        :raises ValueError: the field contains a line break or NUL.
        """
        key, line = prepared
        if _LF in line or _CR in line or _NUL in line:
            raise ValueError(f"header field with a line break or NUL: {line!r}")
        self.keys.append(key)
        self.lines.append(line)

    def replace(self, prepared: Field) -> None:
        """Replace all fields of this name by a prepared field.

        :raises ValueError: the field contains a line break or NUL.
        """
        key, line = prepared
        if _LF in line or _CR in line or _NUL in line:
            raise ValueError(f"header field with a line break or NUL: {line!r}")
        keys = self.keys
        if key in keys:
            self.discard(key)
        keys.append(key)
        self.lines.append(line)

    def items(self) -> list[tuple[str, str]]:
        """Return every field as a pair of name as written and value."""
        return [
            (line[: len(key)].decode("latin-1"), line[len(key) + 2 :].decode("latin-1"))
            for key, line in zip(self.keys, self.lines, strict=True)
        ]

    def copy(self) -> Headers:
        """Return new headers with the same fields."""
        return make_headers(self.keys.copy(), self.lines.copy())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and header_key(name) in self.keys

    def __getitem__(self, name: str) -> str:
        if (value := self.get(name)) is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items())

    def __len__(self) -> int:
        return len(self.keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and (self.keys, self.lines) == (other.keys, other.lines)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Headers({self.items()!r})"


new_headers: Final = Headers.__new__
"""Creates the object without calling its class, because every request needs one."""


def make_headers(keys: list[bytes], lines: list[bytes]) -> Headers:
    """Return headers that take over two lists, as described in ``Headers``."""
    self = new_headers(Headers)
    self.keys = keys
    self.lines = lines
    return self
