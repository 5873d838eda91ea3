"""What a storage of the configuration is."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

from pingap.config.snapshot import Snapshot

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class StorageError(Exception):
    """A storage cannot be read, or not be written; the message says why, without secrets.

    .. versionadded:: 1.1
    """


class StorageConflict(StorageError):
    """Somebody else has changed the configuration since it was read: nothing was written.

    .. versionadded:: 1.1
    """


class ConfigStorage(ABC):
    """Where the texts of a configuration are kept; ``pingap_storages`` provides it.

    A document is a text with a name, whose suffix says its format: ``locations/shop.toml``. An object
    belongs to one process and one event loop. Making it opens nothing.

    .. versionadded:: 1.1
    """

    @abstractmethod
    async def read(self) -> Snapshot:
        """Return all documents as they are now.

        :raises StorageError: they cannot be read. Give up after a while: pingap waits 10 seconds.
        """

    @abstractmethod
    async def write(self, documents: Mapping[str, str | None], *, expected: str) -> str:
        """Write documents, and leave all others as they are.

        :param documents: name -> new text, or None to remove the document. A name that has not been
            read is a new document.
        :param expected: ``version`` of the snapshot that the changes were made to.
        :returns: the version of the snapshot that the documents make now.
        :raises StorageConflict: the documents have another version by now; nothing was written.
        :raises StorageError: it cannot be written.
        """

    @abstractmethod
    def watch(self) -> AsyncIterator[None]:
        """Give an item as soon as changes are seen from now on, and after each change from then on.

        Whose change it is does not matter. Changes in quick succession may be one item, and there may
        be items without a change: compare versions. While the storage cannot be reached, nothing
        comes; that is logged once, and when it is back there is an item.
        """


StorageFactory = Callable[[str], ConfigStorage]
"""Makes a storage of a location such as ``etcd://127.0.0.1:2379/pingap``, the value of ``-c``.

It raises ``ValueError`` if the location is wrong; the message must not show passwords.

.. versionadded:: 1.1
"""


def scheme_of(location: str) -> str:
    """Return the scheme of a location in lower case; empty: it is a path."""
    found = _SCHEME.match(location)
    return found[1].lower() if found else ""
