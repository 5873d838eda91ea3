"""The storage: documents are keys below a prefix, ``<prefix>/basic.toml`` and ``<prefix>/servers/web.toml``.

Source of the layout: config.md, section 11. Beside it, ``<prefix>-version`` is set by each write and makes
writers notice each other, ``<prefix>-history`` and ``<prefix>-versions`` have the history, and
``<prefix>-locks`` has locks.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping

from pingap import (
    ConfigLayout,
    ConfigSnapshot,
    ConfigStorage,
    StorageConflict,
    StorageError,
)
from pingap_etcd.documents import State, read_state
from pingap_etcd.gateway import Gateway
from pingap_etcd.history import EtcdHistory
from pingap_etcd.keys import Entry, delete, encoded, none_newer, put, unchanged
from pingap_etcd.location import Location
from pingap_etcd.lock import EtcdLock
from pingap_etcd.session import Answer, UnreachableError
from pingap_etcd.watching import Watch


class EtcdStorage(ConfigStorage):
    """The documents below a prefix of an etcd cluster.

    :param location: where they are.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._prefix = location.prefix
        self._gateway = Gateway(location)

    @property
    def layout(self) -> ConfigLayout:
        """One document for each item."""
        return ConfigLayout.BY_ITEM

    @property
    def history(self) -> EtcdHistory | None:
        """The versions, with ``enable_history``."""
        if not self._location.enable_history:
            return None
        return EtcdHistory(self._gateway, self._prefix)

    async def read(self) -> ConfigSnapshot:
        """Return all documents, as they were at one revision; their names are the keys.

        :raises StorageError: etcd does not answer, or there are no keys.
        """
        state = await self._read()
        if not state.snapshot.files and not state.snapshot.problems:
            raise StorageError(f"there is no key below {self._prefix}/")
        return state.snapshot

    def watch(self) -> AsyncIterator[None]:
        """Yield an item once changes are being watched, and after each change from then on."""
        return Watch(self._gateway, self._prefix).changes()

    async def write(self, documents: Mapping[str, str | None], *, expected: str) -> str:
        """Write documents in one transaction.

        :param documents: key, with or without the prefix -> text; None removes it.
        :raises StorageConflict: a document was changed meanwhile.
        :raises StorageError: etcd does not take them; nothing was written.
        """
        before = await self._read()
        if before.snapshot.version != expected:
            raise StorageConflict("the keys were changed meanwhile")
        texts = {self._key(name): text for name, text in documents.items()}
        for key in [key for key, text in texts.items() if text is None]:
            if key not in before.revisions:
                raise StorageError(f"{key} cannot be removed: it does not exist")
        after = _changed(before.snapshot, texts)
        try:
            await self._commit(before, texts, after.version)
        except UnreachableError:
            if (await self._read()).snapshot.version != after.version:
                raise
            # The connection was lost after etcd had written.
        return after.version

    def lock(self, name: str, seconds: float) -> EtcdLock:
        """Return a lock that all instances with this configuration share.

        :param seconds: after which others get it if this process dies.
        """
        return EtcdLock(self._gateway, f"{self._prefix}-locks/{name}", seconds)

    async def _read(self) -> State:
        return await read_state(self._gateway, self._prefix)

    async def _commit(self, before: State, texts: Mapping[str, str | None], version: str) -> None:
        mark = f"{self._prefix}-version"
        marks = await self._gateway.call("kv/range", {"key": encoded(mark)})
        marked = [Entry.of(one).revision for one in marks.get("kvs", ())]
        if marked and marked[0] > before.revision:
            raise StorageConflict("the keys were changed meanwhile")
        conditions = [unchanged(key, before.revisions.get(key, 0)) for key in texts]
        conditions += [
            none_newer(self._prefix, before.revision),
            unchanged(mark, marked[0] if marked else 0),
        ]
        operations = [
            delete(key) if text is None else put(key, text) for key, text in texts.items()
        ]
        operations.append(put(mark, version))
        if (history := self.history) is not None:
            await history.forget()  # before: if it fails, nothing is written
            operations += await self._previous(before, texts, history)
        answer = await self._transact(conditions, operations)
        if not answer.get("succeeded"):
            raise StorageConflict("the keys were changed meanwhile")

    async def _transact(self, conditions: list[Answer], operations: list[Answer]) -> Answer:
        request = {"compare": conditions, "success": operations}
        try:
            return await self._gateway.call("kv/txn", request)
        except StorageError as error:
            if "too many operations" not in str(error):
                raise
            limit = "etcd sets at most 128 keys at once, or as many as --max-txn-ops allows"
            raise StorageError(f"{limit}; these are {len(operations)}") from None

    async def _previous(
        self, before: State, texts: Mapping[str, str | None], history: EtcdHistory
    ) -> list[Answer]:
        """Return the operations that keep previous texts, except those that are part of a version."""
        now, known = int(time.time()), dict(before.snapshot.files)
        return [
            put(history.key(key, f"{before.revisions[key]}-{now}"), known[key])
            for key in await history.missing(before, texts.keys() & known.keys())
        ]

    def _key(self, name: str) -> str:
        """Return the key of a document.

        :raises StorageError: it cannot be one.
        """
        inside = name.removeprefix(f"{self._prefix}/")
        parts = inside.split("/")
        if "\0" in name or any(part in ("", ".", "..") for part in parts):
            raise StorageError(f"{name!r} cannot be the name of a document")
        return f"{self._prefix}/{inside}"


def _changed(before: ConfigSnapshot, texts: Mapping[str, str | None]) -> ConfigSnapshot:
    files = {**dict(before.files), **texts}
    kept = tuple(sorted((name, text) for name, text in files.items() if text is not None))
    return ConfigSnapshot(before.directory, kept)
