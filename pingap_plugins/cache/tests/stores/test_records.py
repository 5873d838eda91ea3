"""Records, and what diskcache is given and gives."""

from __future__ import annotations

import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_cache.stores.blocks import Blocks, pieces
from pingap_cache.stores.interface import CHUNK
from pingap_cache.stores.raw_disk import RawDisk, Row, is_filename, new_filename
from pingap_cache.stores.record import CorruptRecord, Record, decode

STAMPS = st.integers(0, 2**63 - 1)


@given(key=st.binary(), stamp=STAMPS, head=st.binary(), body=st.binary())
def test_a_record_comes_back(key: bytes, stamp: int, head: bytes, body: bytes) -> None:
    record = Record(stamp, head, len(body), body)
    assert decode(key, record.encode(key), in_file=False) == record


@given(
    key=st.binary(),
    head=st.binary(),
    sums=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=5),
    last=st.integers(1, CHUNK),
    time=st.integers(-(2**63), 2**63 - 1),
)
def test_a_record_of_a_file_comes_back(
    key: bytes, head: bytes, sums: list[int], last: int, time: int
) -> None:
    record = Record(7, head, (len(sums) - 1) * CHUNK + last, None, tuple(sums), time)
    assert decode(key, record.encode(key), in_file=True) == record
    with pytest.raises(CorruptRecord):
        decode(key, record.encode(key), in_file=False)


@given(data=st.data(), head=st.binary(), body=st.binary())
def test_damage_anywhere_is_noticed(data: st.DataObject, head: bytes, body: bytes) -> None:
    good = Record(7, head, len(body), body).encode(b"key")
    place = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CorruptRecord):
        decode(b"key", bytes(bad), in_file=False)
    with pytest.raises(CorruptRecord):
        decode(b"key", good[:place], in_file=False)
    with pytest.raises(CorruptRecord):
        decode(b"another key", good, in_file=False)


@given(data=st.binary(), in_file=st.booleans())
def test_anything_else_is_no_record(data: bytes, in_file: bool) -> None:
    with pytest.raises(CorruptRecord):
        decode(b"key", data, in_file=in_file)


class Trap:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (pytest.fail, ("it was unpickled",))


@pytest.mark.parametrize("mode", [2, 3, 4, None, "4"])
def test_nothing_is_ever_unpickled(tmp_path: object, mode: object) -> None:
    disk = RawDisk(str(tmp_path))
    bad = pickle.dumps(Trap())
    with pytest.raises(CorruptRecord):
        disk.fetch(mode, None, bad, False)
    with pytest.raises(CorruptRecord):
        disk.get(bad, 0)


@pytest.mark.parametrize("value", ["text", 1, 1.0, None, {"a": 1}, b"bytes"])
def test_nothing_is_ever_pickled(tmp_path: object, value: object) -> None:
    disk = RawDisk(str(tmp_path))
    with pytest.raises(TypeError):
        disk.store(value, False)
    if not isinstance(value, bytes):
        with pytest.raises(TypeError):
            disk.put(value)
    with pytest.raises(TypeError):
        disk.store(Row(b""), True)


def test_a_row_cannot_name_what_is_not_ours(tmp_path: object) -> None:
    disk = RawDisk(str(tmp_path))
    for name in ("../x.body", "/etc/passwd", "a/../b.body", "cache.db", b"a.body", 1, "a.body\n"):
        assert not is_filename(name)
        with pytest.raises(CorruptRecord):
            disk.fetch(1, name, b"", False)
    for levels in ((), (1,), (1, 2), (3, 3)):
        assert is_filename(new_filename(levels))
        assert len(new_filename(levels).split("/")) == len(levels) + 1


@given(st.lists(st.integers(0, 3 * CHUNK), max_size=6))
def test_blocks_do_not_depend_on_chunks(sizes: list[int]) -> None:
    whole = bytes(range(251)) * (sum(sizes) // 251 + 1)
    blocks, place, cut = Blocks(), 0, []
    for size in sizes:
        cut += blocks.add(whole[place : place + size])
        place += size
    assert all(len(block) == CHUNK for block in cut)
    assert len(blocks.rest()) < CHUNK
    assert b"".join([*cut, blocks.rest()]) == whole[:place]
    assert blocks.size == place


@given(st.integers(0, 10 * CHUNK), st.integers(0, 10 * CHUNK))
def test_pieces_of_a_range(start: int, stop: int) -> None:
    places = [
        (number * CHUNK + begin, number * CHUNK + end) for number, begin, end in pieces(start, stop)
    ]
    assert all(begin < end for begin, end in places)
    assert sum(end - begin for begin, end in places) == max(stop - start, 0)
    if places:
        assert (places[0][0], places[-1][1]) == (start, stop)
    assert all(one[1] == two[0] for one, two in pairwise(places))
