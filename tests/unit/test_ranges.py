"""Ranges: which bytes a client gets, whatever it asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingap import content_range, range_heads, requested_ranges


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (b"bytes=0-0", [(0, 1)]),
        (b"bytes=2-", [(2, 10)]),
        (b"bytes=-3", [(7, 10)]),
        (b"bytes=-30", [(0, 10)]),
        (b"bytes=8-99", [(8, 10)]),
        (b"BYTES = 1-2 , 4-5", [(1, 3), (4, 6)]),
        (b"bytes=4-5,1-2", [(4, 6), (1, 3)]),
        (b"bytes=10-", []),
        (b"bytes=-0", []),
        (b"bytes=10-,0-0", [(0, 1)]),
        (b"bytes=0-4,4-5", None),
        (b"bytes=3-2", None),
        (b"bytes=-", None),
        (b"bytes=", None),
        (b"bytes=a-b", None),
        (b"lines=0-1", None),
        (b"bytes=" + b"0-0," * 17, None),
        (b"bytes=0-" + b"9" * 50, [(0, 10)]),
    ],
)
def test_ranges(value: bytes, parts: list[tuple[int, int]] | None) -> None:
    assert requested_ranges(value, 10) == parts


@given(st.from_regex(rb"bytes=[0-9, -]{0,40}", fullmatch=True), st.integers(0, 50))
def test_parts_exist_and_do_not_overlap(value: bytes, size: int) -> None:
    sent: set[int] = set()
    for start, stop in requested_ranges(value, size) or []:
        part = set(range(start, stop))
        assert part
        assert not part & sent
        sent |= part
    assert sent <= set(range(size))


def test_heads() -> None:
    parts = [(0, 1), (8, 10)]
    assert content_range(parts[1], 10) == b"bytes 8-9/10"
    assert range_heads(parts, 10, b"text/plain", b"B") == [
        b"--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/10\r\n\r\n",
        b"\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n",
        b"\r\n--B--\r\n",
    ]
