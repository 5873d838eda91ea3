"""What clients say that they take (RFC 9110, 12.5.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingap import accepted_encodings

ALL = ("zstd", "br", "gzip")


@pytest.mark.parametrize(
    ("text", "best"),
    [
        (None, ""),
        ("", ""),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, br", "br"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip;q=0", ""),
        ("gzip;q=0.000, br;q=0.001", "br"),
        ("gzip;q=1.0, br;q=0.9, zstd ; q=0.8", "gzip"),
        ("*", "zstd"),
        ("*;q=0", ""),
        ("zstd;q=0, *", "br"),
        ("gzip;q=0.5, *;q=0.1", "gzip"),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("identity;q=0", ""),
        ("identity, gzip;q=0.5", ""),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("compress, deflate", ""),
        ("gzip;q=2, br", "br"),  # not a weight: as if it were not there
        ("gzipped", ""),
        (",, gzip ,", "gzip"),
        ("br;q=0.3, br;q=0.9, gzip;q=0.5", "br"),
    ],
)
def test_what_a_client_wants_most(text: str | None, best: str) -> None:
    assert accepted_encodings(text).best(ALL) == best


@pytest.mark.parametrize(
    ("text", "takes"),
    [
        (None, True),
        ("gzip", True),
        ("*;q=0", False),
        ("identity;q=0", False),
        ("*;q=0, identity;q=0.1", True),
        ("*", True),
    ],
)
def test_whether_a_client_takes_no_coding(text: str | None, takes: bool) -> None:
    assert accepted_encodings(text).takes("identity") is takes


@given(st.text(st.characters(max_codepoint=255), max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    best = accepted_encodings(text).best(ALL)
    assert best in ("", *ALL)
    assert not best or accepted_encodings(text).takes(best)


@given(st.dictionaries(st.sampled_from(ALL), st.integers(0, 1000), min_size=1))
def test_the_highest_weight_wins_and_then_the_order_of_the_server(weights: dict[str, int]) -> None:
    text = ", ".join(f"{coding};q={weight / 1000:.3f}" for coding, weight in weights.items())
    most = max(weights.values())
    wanted = next((one for one in ALL if weights.get(one, 0) == most and most), "")
    assert accepted_encodings(text).best(ALL) == wanted
