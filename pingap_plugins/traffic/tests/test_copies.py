"""Copies of requests: complete or none at all, within their memory; without IO."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pingap_traffic.copies import OVERHEAD, BodyCopier, Copy, Memory

from pingap import Headers, Request, RequestOutcome
from pingap.testing import filter_every_cut

HEAD = Request("GET", "/", Headers({"Host": "a"}), "a")
HEAD_BYTES = OVERHEAD + len("/" + "Host: a")
CHUNKS = st.lists(st.binary(min_size=1, max_size=50), max_size=8)


@given(CHUNKS, st.integers(0, 200), st.integers(0, 200), st.booleans())
def test_a_copy_is_whole_or_dropped(
    chunks: list[bytes], max_body: int, room: int, whole: bool
) -> None:
    memory = Memory(HEAD_BYTES + room)
    copy = Copy(memory, max_body, has_body=True)
    ready: list[Copy] = []
    copier = BodyCopier(copy, ready.append)
    copy.begin(HEAD)
    passed = b"".join(copier.feed(chunk) for chunk in chunks)
    if whole:
        copier.end(Headers())
    else:
        copier.abandoned(RequestOutcome.CLIENT_GONE)
    body = b"".join(chunks)
    assert passed == body
    assert memory.used <= memory.limit
    fits = len(body) <= min(max_body, room)
    assert copy.is_ready == (whole and fits)
    assert ready == ([copy] if whole else [])
    if copy.is_ready:
        assert copy.body == body
        copy.release()
    assert memory.used == 0
    assert copy.result in ("", "body", "memory", "incomplete")


def test_the_body_passes_unchanged_wherever_it_is_cut() -> None:
    def make() -> BodyCopier:
        return BodyCopier(Copy(Memory(1 << 20), 20, has_body=True), lambda copy: None)

    assert filter_every_cut(make, b"some bytes that are more than twenty") == (
        b"some bytes that are more than twenty"
    )


def test_no_memory_for_a_head() -> None:
    memory = Memory(HEAD_BYTES)
    first, second = (Copy(memory, 0, has_body=False) for _ in range(2))
    first.begin(HEAD)
    second.begin(HEAD)
    assert [first.result, second.result] == ["", "memory"]
    second.drop("queue")
    assert second.result == "memory"
    assert memory.used == HEAD_BYTES


def test_a_copy_without_a_body_waits_for_its_head() -> None:
    copy = Copy(Memory(1 << 20), 0, has_body=False)
    assert not copy.is_ready
    copy.begin(HEAD)
    assert copy.is_ready
