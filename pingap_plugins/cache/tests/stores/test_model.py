"""Every store does what a dictionary does, as long as everything fits."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from pingap_cache.stores.disk import DiskStore
from pingap_cache.stores.interface import Store, Writer
from pingap_cache.stores.memory import MemoryStore
from pingap_cache.stores.tiered import TieredStore
from store_tools import body_of, found, put

MIB = 1024 * 1024
KEYS = st.sampled_from([b"", b"a", b"b", b"\x00\xff", b"long" * 100])
URLS = st.sampled_from(
    ["", "http://a/", "http://a/b", "http://a/b/c", "http://ä/", "http://b/\udcff"]
)
NAMESPACES = st.sampled_from(["", "one", "two"])
TAGS = st.lists(st.sampled_from(["red", "green", "ünïcode", ""]), max_size=3)
SIZES = st.sampled_from([0, 1, 100, 65535, 65536, 65537, 200_000, 300_000])
HEADS = st.binary(max_size=20)


@dataclass(frozen=True)
class Model:
    head: bytes
    body: bytes
    url: str
    tags: tuple[str, ...]
    namespace: str
    stale: bool = False

    def matches(self, prefix: str, namespace: str | None, tag: str | None) -> bool:
        return (
            self.url.startswith(prefix)
            and namespace in (None, self.namespace)
            and (tag is None or tag in self.tags)
        )


def body(size: int, seed: int) -> bytes:
    return (bytes([seed]) + b"0123456789") * (size // 11) + b"x" * (size % 11)


class Machine(RuleBasedStateMachine):
    make: Callable[[Path], Store]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.run = asyncio.Runner()
        self.store = self.make(Path(self.folder.name))
        self.model: dict[bytes, Model] = {}
        self.open: list[tuple[bytes, Model, Writer, list[str]]] = []

    def teardown(self) -> None:
        for _, _, writer, _ in self.open:
            writer.discard()
        self.run.run(self.store.aclose())
        self.run.close()
        self.folder.cleanup()

    @rule(
        key=KEYS,
        head=HEADS,
        size=SIZES,
        seed=st.integers(0, 255),
        url=URLS,
        tags=TAGS,
        namespace=NAMESPACES,
    )
    def begin(
        self,
        key: bytes,
        head: bytes,
        size: int,
        seed: int,
        url: str,
        tags: list[str],
        namespace: str,
    ) -> None:
        wanted = Model(head, body(size, seed), url, tuple(tags), namespace)

        async def write() -> Writer:
            writer = self.store.write(key, head, keep=1000, url=url, tags=tags, namespace=namespace)
            for place in range(0, size, 40_000):
                await writer.write(wanted.body[place : place + 40_000])
            return writer

        self.open.append((key, wanted, self.run.run(write()), []))

    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        if not self.open:
            return
        number = data.draw(st.integers(0, len(self.open) - 1))
        key, wanted, writer, purged = self.open.pop(number)
        stored = self.run.run(writer.commit())
        assert stored == ("hard" not in purged)
        if stored:
            self.model[key] = replace(wanted, stale="soft" in purged)
        assert not self.run.run(writer.commit())

    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        if self.open:
            self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))[2].discard()

    @rule(key=KEYS)
    def remove(self, key: bytes) -> None:
        assert self.run.run(self.store.remove(key)) == (self.model.pop(key, None) is not None)
        for of_key, _, _, purged in self.open:
            if of_key == key:
                purged.append("hard")

    @rule(
        prefix=URLS,
        namespace=st.none() | NAMESPACES,
        tag=st.none() | st.sampled_from(["red", "green", "ünïcode", "", "none has it"]),
        soft=st.booleans(),
    )
    def purge(self, prefix: str, namespace: str | None, tag: str | None, soft: bool) -> None:
        matching = {k for k, m in self.model.items() if m.matches(prefix, namespace, tag)}
        count = self.run.run(
            self.store.purge(prefix=prefix, namespace=namespace, tag=tag, soft=soft)
        )
        assert count == len(matching)
        for key in matching:
            if soft:
                self.model[key] = replace(self.model[key], stale=True)
            else:
                del self.model[key]
        for _, wanted, _, purged in self.open:
            if wanted.matches(prefix, namespace, tag):
                purged.append("soft" if soft else "hard")

    @rule(key=KEYS, head=HEADS)
    def replace_head(self, key: bytes, head: bytes) -> None:
        entry = self.run.run(self.store.get(key))
        if entry is None:
            return
        assert self.run.run(self.store.replace_head(key, entry, head, 1000))
        self.model[key] = replace(self.model[key], head=head, stale=False)

    @rule(key=KEYS, head=HEADS)
    def head_of_another_entry(self, key: bytes, head: bytes) -> None:
        async def replace_after_write() -> bool | None:
            entry = await self.store.get(key)
            if entry is None:
                return None
            await put(self.store, key, b"another", head=b"another")
            return await self.store.replace_head(key, entry, head, 1000)

        if self.run.run(replace_after_write()) is not None:
            self.model[key] = Model(b"another", b"another", "", (), "")
            assert self.run.run(found(self.store, key)) == (b"another", b"another", False)

    @rule(key=KEYS, data=st.data())
    def a_part(self, key: bytes, data: st.DataObject) -> None:
        entry = self.run.run(self.store.get(key))
        if entry is not None:
            start = data.draw(st.integers(0, entry.size))
            stop = data.draw(st.integers(start, entry.size))
            part = self.run.run(body_of(self.store, key, entry, start, stop))
            assert part == self.model[key].body[start:stop]

    @rule(prefix=URLS, namespace=st.none() | NAMESPACES, limit=st.integers(0, 6))
    def listed(self, prefix: str, namespace: str | None, limit: int) -> None:
        entries = self.run.run(self.store.entries(prefix=prefix, namespace=namespace, limit=limit))
        matching = {k for k, m in self.model.items() if m.matches(prefix, namespace, None)}
        assert {one.key for one in entries} <= matching
        assert len(entries) == min(limit, len(matching))
        for one in entries:
            wanted = self.model[one.key]
            assert (one.url, one.namespace, one.size, one.stale) == (
                wanted.url,
                wanted.namespace,
                len(wanted.body),
                wanted.stale,
            )

    @rule()
    def tend(self) -> None:
        disk = getattr(self.store, "disk", self.store)
        if isinstance(disk, DiskStore):
            self.run.run(disk.tend())

    @invariant()
    def same(self) -> None:
        for key in (b"", b"a", b"b", b"\x00\xff", b"long" * 100):
            wanted = self.model.get(key)
            now = self.store.get_now(key)
            if now is not None:
                assert wanted is not None
                assert (now.head, now.stale) == (wanted.head, wanted.stale)
            expected = None if wanted is None else (wanted.head, wanted.body, wanted.stale)
            assert self.run.run(found(self.store, key)) == expected


def in_memory(_: Path) -> Store:
    return MemoryStore(100 * MIB)


def in_compact_memory(_: Path) -> Store:
    return MemoryStore(100 * MIB, index_tags=False)


def on_disk(folder: Path) -> Store:
    return DiskStore(folder / "cache")


def in_both(folder: Path) -> Store:
    return TieredStore(MemoryStore(100 * MIB), DiskStore(folder / "cache", levels=()))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("make", "examples"),
    [(in_memory, 60), (in_compact_memory, 15), (on_disk, 4), (in_both, 5)],
)
def test_a_store_does_what_a_dictionary_does(make: Callable[[Path], Store], examples: int) -> None:
    machine = type("Machine", (Machine,), {"make": staticmethod(make)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
