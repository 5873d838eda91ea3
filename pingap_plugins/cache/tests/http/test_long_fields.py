"""Fields of clients, as long as they like: the work grows with the length, not with its square."""

from __future__ import annotations

import time

import pytest
from pingap_cache.http.directives import parse
from pingap_cache.http.vary import normalised
from simulated_cache import START, headers

from pingap import listed_entity_tags, parse_http_date, requested_ranges

PIECES = [
    ",", " ", "\t", '"', "\\", "=", '",', "a=", 'a="', "W/", 'W/"', ' ,"', "a ", "a =", '\\"', ";q=1", "0-,", "-", "1",
]  # fmt: skip


def read_all(text: str) -> None:
    value = text.encode()
    parse(text)
    listed_entity_tags(value)
    parse_http_date(value, START)
    requested_ranges(b"bytes=" + value, 100)
    for name in ("Foo", "Accept", "Accept-Language"):
        normalised(name.lower().encode(), headers([(name, text)]))


@pytest.mark.parametrize("end", ["", "x", '"', ","])
@pytest.mark.parametrize("piece", PIECES)
def test_a_long_field(piece: str, end: str) -> None:
    def seconds(size: int) -> float:
        started = time.process_time()
        read_all("a" + piece * (size // len(piece)) + end)
        return time.process_time() - started

    # Four times as long: 16 times the work if it were the square. The shorter one lasts long enough to measure.
    assert seconds(160_000) < 8 * max(seconds(40_000), 0.02)
