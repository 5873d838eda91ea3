"""Changes items in the text of a TOML document.

Only the statements that change are replaced; comments, blank lines, order and spelling around them stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from pingap.config.editing.table_edit import TableEdit, UnusualFormError
from pingap.config.editing.values import plain, same
from pingap.config.formats.interface import FormatError
from pingap.config.formats.toml import TOML
from pingap.config.problem import KeyPath, dotted

Table: TypeAlias = dict[str, Any]
Items: TypeAlias = Mapping[KeyPath, Mapping[str, Any] | None]
"""Path of an item, ``("basic",)`` or ``("locations", "shop")``, -> its new table; None: it is removed."""


class EditError(ValueError):
    """A text cannot be changed as wanted; the message gives the reason."""


def edited(text: str, items: Items) -> str:
    """Return a text in which items are changed, added or removed.

    :param text: of a TOML document.
    :raises EditError: the text is not TOML, an item is written in a form that cannot be changed, or TOML has
        no such value.
    """
    try:
        wanted = {path: None if table is None else plain(table) for path, table in items.items()}
    except ValueError as error:
        raise EditError(str(error)) from None
    is_crlf = "\r\n" in text
    text = text.replace("\r\n", "\n")  # TOML reads both alike
    for whole in (False, True):
        data = _parsed(text)
        result = _changed(text, data, wanted, whole=whole)
        if _is(result, data):
            return result.replace("\n", "\r\n") if is_crlf else result
    names = ", ".join(map(dotted, items))
    raise EditError(f"{names}: write each item as a table of its own, and it can be changed")


def _parsed(text: str) -> Table:
    try:
        return TOML.parse(text)
    except FormatError as error:
        raise EditError(f"line {error.line} {error.message}") from None


def _changed(text: str, data: Table, wanted: Mapping[KeyPath, Table | None], *, whole: bool) -> str:
    """Return the changed text, and change the tables likewise.

    :param whole: write changed tables anew instead of changing their keys.
    """
    for path, table in wanted.items():
        old = _replaced(data, path, table)
        text = (None if whole else _updated(text, path, old, table)) or _rewritten(
            text, path, table
        )
    return text


def _updated(text: str, path: KeyPath, old: Table | None, new: Table | None) -> str | None:
    """Return the text with another table; None if it has to be written anew."""
    if old is None or new is None:
        return None
    if same(old, new):
        return text
    edit = TableEdit(text)
    try:
        edit.update(path, old, new)
    except UnusualFormError:
        return None
    return edit.result()


def _rewritten(text: str, path: KeyPath, table: Table | None) -> str:
    edit = TableEdit(text)
    edit.remove(path)
    if table is not None:
        edit = TableEdit(edit.result())
        edit.add(path, table)
    return edit.result()


def _replaced(data: Table, path: KeyPath, table: Table | None) -> Table | None:
    """Put a table in its place among the others, or remove it; return the previous one."""
    for key in path[:-1]:
        data = data.setdefault(str(key), {})
        if not isinstance(data, dict):
            raise EditError(f"{dotted(path[:1])} is not a table")
    old = data.pop(str(path[-1]), None)
    if table is not None:
        data[str(path[-1])] = table
    return old if isinstance(old, dict) else None


def _is(text: str, expected: Table) -> bool:
    """Return whether a text has these tables; empty ones do not count."""
    try:
        found = TOML.parse(text)
    except FormatError:
        return False
    return same(_filled(found), _filled(expected))


def _filled(data: Table) -> Table:
    return {key: value for key, value in data.items() if value != {}}
