"""Writes values and tables as TOML."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any, Final

import tomlkit

from pingap.config.problem import KeyPath

_SCALARS: Final = (bool, int, float, str, date, datetime, time)


def plain(value: Any) -> Any:
    """Return a copy that consists of the types that ``tomllib`` returns.

    :raises ValueError: TOML has no such value.
    """
    if isinstance(value, Mapping):
        return {_text(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if type(value) in _SCALARS:
        return value
    raise ValueError(f"a value of type {type(value).__name__} cannot be written as TOML")


def _text(key: object) -> str:
    if not isinstance(key, str):
        raise ValueError(f"{key!r} cannot be a key of TOML")  # noqa: TRY004 - one kind of error
    return key


def written_key(path: KeyPath) -> str:
    """Return a dotted key, quoted where necessary; positions in arrays are left out."""
    return ".".join(tomlkit.key(part).as_string() for part in path if isinstance(part, str))


def written_value(value: Any) -> str:
    """Return a plain value as TOML: tables in one line, texts of several lines as such."""
    if isinstance(value, dict):
        pairs = [f"{written_key((key,))} = {written_value(one)}" for key, one in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(written_value, value))}]"
    if isinstance(value, str) and "\n" in value:
        lines = [tomlkit.string(line).as_string()[1:-1] for line in value.split("\n")]
        return '"""\n' + "\n".join(lines) + '"""'
    return str(tomlkit.item(value).as_string())


def written_table(path: KeyPath, table: Mapping[str, Any]) -> str:
    """Return a table with its header; its path ends with a number if it is an element of an array."""
    header = f"[{written_key(path)}]"
    lines = [f"[{header}]" if path and isinstance(path[-1], int) else header]
    lines += [f"{written_key((key,))} = {written_value(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def same(one: Any, other: Any) -> bool:
    """Return whether plain values are the same; unlike ``==``, it distinguishes 1, 1.0 and true."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            same(value, other[key]) for key, value in one.items()
        )
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)  # nan
