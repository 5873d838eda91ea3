"""The versions of a configuration, in keys beside it.

``<prefix>-history/<section>/<name>.toml/<revision>-<unix seconds>`` has a text as of the revision in which it
was set. This is the layout of pingap 0.13.9 (config.md, section 11). ``<prefix>-versions/<name>`` tells which
of these texts a version consists of, so a text that does not change is kept once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, TypeVar

from pingap import ConfigHistory, ConfigNote, ConfigSnapshot, ConfigVersion, StorageError
from pingap_etcd.documents import State, read_state
from pingap_etcd.gateway import Gateway
from pingap_etcd.keys import Entry, delete, put, ranged, starting_with
from pingap_etcd.lock import EtcdLock
from pingap_etcd.session import Answer

MOST_VERSIONS: Final = 100
MOST_BYTES: Final = 32 << 20
"""Size of what all versions added; etcd often has 2 GiB for everything."""
MOST_OTHER_TEXTS: Final = 100
"""Texts that were replaced by a write and are in no version."""
LOCK_SECONDS: Final = 15.0
_OPERATIONS: Final = 100
_TRANSACTION_BYTES: Final = 1 << 20
"""Limits of one transaction; by default, etcd accepts 128 operations and 1.5 MiB."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Version:
    """A version as it is kept.

    :param texts: document -> the last part of the key of its text.
    :param added: bytes that were stored for it.
    """

    head: ConfigVersion
    texts: Mapping[str, str]
    added: int


class EtcdHistory(ConfigHistory):
    """Versions that all instances with this configuration share.

    :param prefix: of the keys of the configuration.
    """

    def __init__(self, gateway: Gateway, prefix: str) -> None:
        self._gateway = gateway
        self._prefix = prefix
        self._versions = f"{prefix}-versions/"

    async def record(self, snapshot: ConfigSnapshot, note: ConfigNote) -> None:
        """Add a version, unless the newest one has the same texts, or others have replaced them already."""
        async with self._lock():
            known = await self._all()
            if known and known[-1].head.version == snapshot.version:
                return
            state = await read_state(self._gateway, self._prefix)
            if state.snapshot.version != snapshot.version:
                return
            earliest = (
                known[-1].head.at + 0.001 if known else 0.0
            )  # the clock may have been set back
            at = max(time.time(), earliest)
            new = await self._store(state, at, note.shortened())
            await self._forget([*known, new])

    async def versions(self) -> list[ConfigVersion]:
        """Return all versions, oldest first."""
        return [one.head for one in await self._all()]

    async def snapshot(self, name: str) -> ConfigSnapshot:
        """Return the texts of a version."""
        found = [one for one in await self._all() if one.head.name == name]
        if not found:
            raise StorageError(f"there is no version {name!r}")
        keys = {self.key(document, end): document for document, end in found[0].texts.items()}
        entries = await self._ranges(ranged(key) for key in keys)
        files = [(keys[entry.key.decode()], entry.value.decode()) for entry in entries]
        snapshot = ConfigSnapshot(files=tuple(sorted(files)))
        if snapshot.version != found[0].head.version:
            raise StorageError(f"the version {name} is damaged: not all of its texts are there")
        return snapshot

    async def missing(self, state: State, documents: Iterable[str]) -> list[str]:
        """Return those of some documents whose present text is not kept yet."""
        names = list(documents)
        kept = await self._kept(state, names)
        return [name for name in names if name not in kept]

    def key(self, document: str, end: str) -> str:
        """Return the key of a text.

        :param end: ``<revision>-<unix seconds>``.
        """
        return f"{self._prefix}-history{document.removeprefix(self._prefix)}/{end}"

    async def forget(self) -> None:
        """Remove what is too old.

        :raises StorageError: etcd does not answer.
        """
        async with self._lock():
            await self._forget(await self._all())

    def _lock(self) -> EtcdLock:
        """Prevent other instances from removing texts that are not part of a version yet."""
        return EtcdLock(self._gateway, f"{self._prefix}-locks/history", LOCK_SECONDS)

    async def _all(self) -> list[_Version]:
        answer = await self._gateway.call("kv/range", starting_with(self._versions))
        found = []
        for entry in sorted(map(Entry.of, answer.get("kvs", ())), key=lambda one: one.key):
            with suppress(ValueError, KeyError, TypeError, AttributeError):
                name = entry.key.decode().removeprefix(self._versions)
                found.append(_read(name, json.loads(entry.value)))
        return found

    async def _store(self, state: State, at: float, note: ConfigNote) -> _Version:
        """Keep the texts of a version, and then the version."""
        texts = dict(state.snapshot.files)
        ends = await self._kept(state, texts)
        new = {one: f"{state.revisions[one]}-{int(at)}" for one in texts if one not in ends}
        await self._puts({self.key(one, end): texts[one] for one, end in new.items()})
        version = state.snapshot.version
        name = f"{round(at * 1000):013d}-{version[:12]}"
        sizes = {one: len(text.encode()) for one, text in texts.items()}
        head = ConfigVersion(name, at, note, version, sum(sizes.values()))
        found = _Version(head, ends | new, sum(sizes[one] for one in new))
        found = replace(found, added=found.added + len(_written(found)))
        await self._puts({f"{self._versions}{name}": _written(found)})
        return found

    async def _kept(self, state: State, documents: Iterable[str]) -> dict[str, str]:
        """Return document -> the last part of the key that has its present text.

        Texts are compared as well, since a cluster that is restored from a backup uses revisions again.
        """
        texts, kept = dict(state.snapshot.files), {}
        starts = {self.key(one, f"{state.revisions[one]}-"): one for one in documents}
        for entry in await self._ranges(starting_with(start) for start in starts):
            start, dash, seconds = entry.key.decode("utf-8", "replace").rpartition("-")
            name = starts.get(f"{start}{dash}")
            if name and entry.value == texts[name].encode():
                kept[name] = f"{state.revisions[name]}-{seconds}"
        return kept

    async def _forget(self, versions: list[_Version]) -> None:
        kept: list[_Version] = []
        total = 0
        for one in reversed(versions):
            total += one.added
            if kept and (len(kept) >= MOST_VERSIONS or total > MOST_BYTES):
                break
            kept.append(one)
        old = versions[: len(versions) - len(kept)]
        keys = [f"{self._versions}{one.head.name}".encode() for one in old]
        used = {self.key(name, end) for one in kept for name, end in one.texts.items()}
        keys += await self._unused(used)
        for some in _batches(keys):
            await self._transact([delete(key) for key in some])

    async def _unused(self, used: set[str]) -> list[bytes]:
        """Return the keys of texts that are in no version, without the newest."""
        request = {**starting_with(f"{self._prefix}-history/"), "keys_only": True}
        answer = await self._gateway.call("kv/range", request)
        entries = [Entry.of(one) for one in answer.get("kvs", ())]
        others = [one for one in entries if one.key.decode("utf-8", "replace") not in used]
        newest_first = sorted(others, key=lambda one: one.revision, reverse=True)
        return [one.key for one in newest_first[MOST_OTHER_TEXTS:]]

    async def _puts(self, texts: Mapping[str, str]) -> None:
        operations: list[Answer] = []
        size = 0
        for key, text in texts.items():
            length = len(text.encode())
            if operations and (
                len(operations) >= _OPERATIONS or size + length > _TRANSACTION_BYTES
            ):
                await self._transact(operations)
                operations, size = [], 0
            operations.append(put(key, text))
            size += length
        if operations:
            await self._transact(operations)

    async def _ranges(self, ranges: Iterable[dict[str, str]]) -> list[Entry]:
        found: list[Entry] = []
        for some in _batches(ranges):
            answer = await self._transact([{"request_range": one} for one in some])
            for one in answer.get("responses", ()):
                found += map(Entry.of, one.get("response_range", {}).get("kvs", ()))
        return found

    async def _transact(self, operations: list[Answer]) -> Answer:
        return await self._gateway.call("kv/txn", {"success": operations})


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while some := list(islice(rest, _OPERATIONS)):
        yield some


def _written(version: _Version) -> str:
    head = version.head
    return json.dumps(
        {
            "at": head.at,
            "by": head.note.by,
            "reason": head.note.reason,
            "version": head.version,
            "size": head.size,
            "added": version.added,
            "texts": dict(version.texts),
        }
    )


def _read(name: str, data: Mapping[str, Any]) -> _Version:
    note = ConfigNote(str(data["by"]), str(data["reason"]))
    head = ConfigVersion(name, float(data["at"]), note, str(data["version"]), int(data["size"]))
    texts = {str(document): str(end) for document, end in data["texts"].items()}
    return _Version(head, texts, int(data["added"]))
