"""The interface of configuration storages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial

import anyio.to_thread

from pingap.config.editing.documents import Layout, edited_documents
from pingap.config.editing.toml_text import EditError, Items
from pingap.config.formats.installed import TOML_ONLY, Formats
from pingap.config.snapshot import Snapshot
from pingap.config.storage.errors import StorageConflict, StorageError
from pingap.config.storage.history import ConfigHistory


class ConfigStorage(ABC):
    """A place where the texts of a configuration are kept; ``pingap_storages`` provides it.

    A document is a text with a name, whose suffix gives its format: ``locations/shop.toml``. An object
    belongs to one process and one event loop. Creating it opens nothing.

    .. versionadded:: 1.1
    """

    formats: Formats = TOML_ONLY
    """The formats of its documents; pingap sets it."""

    is_writable: bool = True
    """Whether ``write`` can succeed. With several ``-c``, the first such storage gets what is new."""

    @property
    def layout(self) -> Layout:
        """Where ``write_items`` writes new items."""
        return Layout.BY_SECTION

    @property
    def history(self) -> ConfigHistory | None:
        """The versions that were accepted; None if it keeps none. pingap records them, without optional documents."""
        return None

    @abstractmethod
    async def read(self) -> Snapshot:
        """Return the current documents.

        :raises StorageError: they cannot be read. Give up after a while: pingap waits 10 seconds.
        """

    @abstractmethod
    async def write(self, documents: Mapping[str, str | None], *, expected: str) -> str:
        """Write documents, and leave all others unchanged.

        :param documents: name -> new text, or None to remove the document. An unknown name creates a
            document.
        :param expected: ``version`` of the snapshot that the changes are based on.
        :returns: the version of the snapshot after the change.
        :raises StorageConflict: the documents have another version by now; nothing was written.
        :raises StorageError: the documents cannot be written.
        """

    async def write_items(self, items: Items, *, expected: str) -> str:
        """Change, add or remove items in the documents that contain them; everything else stays as it is.

        Comments and the order are kept. An item that is removed takes the comment lines directly above it
        with it. ``Layout`` tells where new items are written.

        :param items: ``("locations", "shop")`` or ``("basic",)`` -> the new table, without ``includes``
            expanded; None removes the item.
        :param expected: ``version`` of the snapshot that the changes are based on.
        :returns: the version of the snapshot after the change.
        :raises StorageConflict: the documents have another version by now; nothing was written.
        :raises StorageError: an item cannot be changed, or the documents cannot be written.
        """
        snapshot = await self.read()
        if snapshot.version != expected:
            raise StorageConflict("the configuration was changed meanwhile")
        edit = partial(edited_documents, snapshot, items, layout=self.layout, formats=self.formats)
        try:  # thousands of items take some tenths of a second
            documents = await anyio.to_thread.run_sync(edit)
        except EditError as error:
            raise StorageError(str(error)) from None
        return await self.write(documents, expected=expected)

    @abstractmethod
    def watch(self) -> AsyncIterator[None]:
        """Yield an item once changes are being watched, and after each change from then on.

        Changes by any writer count. Several changes in quick succession may give one item, and there may be
        items without a change: compare versions. While the storage cannot be reached, nothing is yielded;
        this is logged once, and an item follows when it is back.
        """


StorageFactory = Callable[[str], ConfigStorage]
"""Creates a storage for a location such as ``etcd://127.0.0.1:2379/pingap``, the value of ``-c``.

It raises ``ValueError`` if the location is invalid; the message must not contain passwords.

.. versionadded:: 1.1
"""
