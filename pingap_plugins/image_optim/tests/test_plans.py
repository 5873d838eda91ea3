"""What requests ask for: types and sizes, and what tells their results apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_image_optim.accept import weights
from pingap_image_optim.plans import Planning, Size, parse_size

SIZES = frozenset(map(parse_size, ("320", "640", "x200", "300x200")))
PLANNING = Planning(("avif", "webp"), SIZES, "w", "h")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("640", Size(640, 0)),
        ("640x", Size(640, 0)),
        ("x480", Size(0, 480)),
        ("640x480", Size(640, 480)),
        ("16383", Size(16383, 0)),
    ],
)
def test_sizes(text: str, size: Size) -> None:
    assert parse_size(text) == size
    assert parse_size(str(size)) == size


@pytest.mark.parametrize(
    "text", ["", "x", "0", "0640", "-1", "640X480", "16384", "1x16384", "640 ", "٣", "1x2x3", "1e3"]
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="expected pixels"):
        parse_size(text)


@pytest.mark.parametrize(
    ("query", "size", "refused"),
    [
        ("", None, ""),
        ("page=2", None, ""),
        ("w=320", Size(320, 0), ""),
        ("a=b&w=320&c", Size(320, 0), ""),
        ("h=200", Size(0, 200), ""),
        ("h=200&w=300", Size(300, 200), ""),
        ("w=320&w=640", Size(320, 0), ""),
        ("w=321", None, "321x"),
        ("w=320&h=200", None, "320x200"),
        ("w=0320", None, "0320x"),
        ("w=%33%32%30", None, "%33%32x"),
        ("w=abc", None, "abcx"),
        ("w", None, "x"),
        ("w=" + "9" * 5000, None, "999999x"),
    ],
)
def test_what_a_query_asks_for(query: str, size: Size | None, refused: str) -> None:
    plan = PLANNING.plan(weights("*/*"), query)
    assert (plan.size, plan.refused) == (size, refused)


def test_without_sizes_the_query_means_nothing() -> None:
    planning = Planning(("avif",), frozenset(), "w", "h")
    assert planning.plan(weights("*/*"), "w=320").variant == ""


@pytest.mark.parametrize(
    ("accept", "query", "variant"),
    [
        ("*/*", "", ""),
        ("image/avif,image/webp,*/*", "", "avif,webp"),
        ("image/webp,image/avif,image/*", "a=b", "avif,webp"),
        ("image/avif;q=0.5,image/jpeg,image/png;q=0.1", "", ";avif"),
        ("*/*", "w=320", " 320x"),
        ("image/webp", "w=300&h=200", "webp 300x200"),
    ],
)
def test_what_tells_results_apart(accept: str, query: str, variant: str) -> None:
    assert PLANNING.plan(weights(accept), query).variant == variant


@given(st.text(max_size=50), st.text(alphabet="wh=&3204x", max_size=30))
def test_plans_with_one_variant_are_equal(accept: str, query: str) -> None:
    plan = PLANNING.plan(weights(accept), query)
    other = PLANNING.plan(weights(accept + ",text/html"), query + "&z=1")
    if plan.variant == other.variant:
        assert plan == other
    assert plan.size is None or plan.size in SIZES
