"""Changes items of a configuration in the documents that contain them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any, Final

from pingap.config.editing.toml_text import EditError, Items, edited
from pingap.config.formats.installed import TOML_ONLY, TOML_SUFFIX, Formats, suffix
from pingap.config.formats.interface import FormatError
from pingap.config.model import SECTIONS
from pingap.config.problem import KeyPath, did_you_mean, dotted, quoted
from pingap.config.snapshot import Snapshot

_IN_NO_FILE_NAME: Final = frozenset("/\\\0")


class Layout(Enum):
    """Where new items are written, as in pingap 0.13.9.

    .. versionadded:: 1.1
    """

    ONE_DOCUMENT = "all items in one document"
    BY_SECTION = "one document for each section: ``locations.toml``"
    BY_ITEM = "one document for each item: ``locations/shop.toml``"


def edited_documents(
    snapshot: Snapshot,
    items: Items,
    *,
    layout: Layout = Layout.BY_SECTION,
    formats: Formats = TOML_ONLY,
) -> dict[str, str | None]:
    """Return the new texts of the documents in which items are changed, added or removed.

    An item is changed in the document that contains it, whatever the layout.

    :param items: path of an item -> its new table; None: it is removed.
    :param layout: where new items are written.
    :param formats: the formats of the documents.
    :returns: name of a document -> its text; None: the document is removed.
    :raises EditError: an item cannot be changed.
    """
    documents = _Documents(snapshot, layout, formats)
    by_document: dict[str, dict[KeyPath, Mapping[str, Any] | None]] = {}
    for path, table in items.items():
        _check(path)
        name = documents.owner(path)
        if name is None and table is None:
            raise EditError(f"{dotted(path)} cannot be removed: it does not exist")
        by_document.setdefault(name or documents.place(path), {})[path] = table
    return {name: documents.edited(name, some) for name, some in by_document.items()}


def items_in(snapshot: Snapshot, items: Items, formats: Formats) -> set[KeyPath]:
    """Return which of some items a configuration contains.

    :raises EditError: one of its documents cannot be read.
    """
    documents = _Documents(snapshot, Layout.BY_SECTION, formats)
    return {path for path in items if documents.owner(path) is not None}


def _check(path: KeyPath) -> None:
    """Check that a path is that of an item.

    :raises EditError: it is not.
    """
    if path == ("basic",) or (path[:1] and path[0] in SECTIONS and len(path) == 2):
        return
    if path and path[0] not in (*SECTIONS, "basic"):
        hint = did_you_mean(str(path[0]), [*SECTIONS, "basic"])
        raise EditError(f"there is no section {quoted(str(path[0]))}{hint}")
    raise EditError(f"{dotted(path)} is not an item")


class _Documents:
    """The documents of a snapshot, parsed.

    :raises EditError: one of them cannot be read; it may contain what is to be changed.
    """

    def __init__(self, snapshot: Snapshot, layout: Layout, formats: Formats) -> None:
        if snapshot.problems:
            raise EditError(str(snapshot.problems[0]))
        self._texts = dict(snapshot.files)
        self._layout = layout
        self._tables: dict[str, dict[str, Any]] = {}
        for name, text in self._texts.items():
            try:
                self._tables[name] = formats.of(name).parse(text)
            except FormatError as error:
                line = f":{error.line}" if error.line else ""
                raise EditError(f"{name}{line}: {error.message}") from None

    def owner(self, path: KeyPath) -> str | None:
        """Return the document that contains an item."""
        for name, tables in self._tables.items():
            found: Any = tables
            for key in path:
                found = found.get(key) if isinstance(found, dict) else None
            if found is not None:
                return name
        return None

    def place(self, path: KeyPath) -> str:
        """Return the document to which a new item is added."""
        section = str(path[0])
        if self._layout is Layout.ONE_DOCUMENT and len(self._texts) == 1:
            return next(iter(self._texts))
        if self._layout is Layout.BY_ITEM:
            return _own_document(path)
        items = {
            name: tables.get(section) for name, tables in self._tables.items() if _is_toml(name)
        }
        counts = Counter({name: len(found) for name, found in items.items() if found})
        for name, _ in counts.most_common(1):
            return _own_document(path) if PurePath(name).parent.name == section else name
        return f"{section}.{TOML_SUFFIX}"

    def edited(self, name: str, items: Items) -> str | None:
        """Return the new text of a document; None if nothing is left in the document of an item."""
        if not _is_toml(name):
            raise EditError(f"{name} is not TOML: convert it, and its items can be changed")
        try:
            text = edited(self._texts.get(name, ""), items)
        except EditError as error:
            raise EditError(f"{name}: {error}") from None
        own = any(name.endswith(f"{'/'.join(map(str, path))}.{TOML_SUFFIX}") for path in items)
        return None if own and "/" in name and not text.strip() else text


def _is_toml(name: str) -> bool:
    return suffix(name) == TOML_SUFFIX


def _own_document(path: KeyPath) -> str:
    """Return the document of an item in the layout ``BY_ITEM``.

    :raises EditError: its name cannot be the name of a file.
    """
    name = str(path[-1])
    if name.startswith(".") or not _IN_NO_FILE_NAME.isdisjoint(name) or not name:
        raise EditError(f"{dotted(path)} cannot be written: {quoted(name)} cannot name a file")
    return f"{'/'.join(map(str, path))}.{TOML_SUFFIX}"
