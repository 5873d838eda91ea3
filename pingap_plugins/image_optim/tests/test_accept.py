"""Which types a client takes, and which are tried for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_image_optim.accept import TYPES, wanted, weights

CHROMIUM = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
FIREFOX = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
BOTH = ("avif", "webp")


@pytest.mark.parametrize(
    ("accept", "offered", "original", "tried"),
    [
        (CHROMIUM, BOTH, "jpeg", "avif webp"),
        (CHROMIUM, ("webp", "avif"), "jpeg", "webp avif"),
        (FIREFOX, BOTH, "png", "avif webp"),
        (None, BOTH, "jpeg", ""),
        ("", BOTH, "jpeg", ""),
        ("*/*", BOTH, "jpeg", ""),
        ("image/*", BOTH, "jpeg", ""),
        ("*/*", ("jpeg",), "png", "jpeg"),
        ("image/webp", BOTH, "jpeg", "webp"),
        ("IMAGE/WebP", BOTH, "jpeg", "webp"),
        ("image/webpx, ximage/avif", BOTH, "jpeg", ""),
        ("image/avif;q=0, image/webp", BOTH, "jpeg", "webp"),
        ("image/avif;q=0.1, image/webp;q=0.2", BOTH, "jpeg", "webp avif"),
        ("image/avif;q=0.5, image/jpeg", BOTH, "jpeg", ""),
        ("image/avif;q=0.5, image/jpeg", BOTH, "png", "avif"),
        ("image/avif;q=0.5, */*;q=0.6", BOTH, "png", ""),
        ("image/webp; charset=x; q=0.5, image/avif;level=1", BOTH, "jpeg", "avif webp"),
        ("image/webp;q=2, image/avif;q=", BOTH, "jpeg", ""),
        (CHROMIUM, ("avif", "png", "webp"), "png", "avif"),  # then the PNG itself
        (CHROMIUM, ("avif", "png", "webp"), "jpeg", "avif png webp"),
    ],
)
def test_what_is_tried(
    accept: str | None, offered: tuple[str, ...], original: str, tried: str
) -> None:
    assert wanted(weights(accept), offered, original) == tuple(tried.split())


@given(st.one_of(st.text(), st.text(alphabet="imagevf/*,;q=0.1 webp\t")))
def test_any_text_gives_weights(text: str) -> None:
    found = weights(text)
    assert set(found) == set(TYPES)
    assert all(0 <= one <= 1000 for one in found.values())


def test_a_long_header_is_that_of_a_client_that_takes_anything() -> None:
    assert weights("image/avif," * 1000) == weights("*/*")


@given(
    st.permutations(TYPES),
    st.dictionaries(st.sampled_from(TYPES), st.integers(0, 1000)),
    st.sampled_from(("jpeg", "png")),
)
def test_nothing_is_tried_that_the_client_refuses_or_wants_less(
    offered: list[str], some: dict[str, int], original: str
) -> None:
    weight = {one: some.get(one, 0) for one in TYPES}
    tried = wanted(weight, offered, original)
    assert original not in tried
    assert all(weight[one] >= max(1, weight[original]) for one in tried)
    assert [weight[one] for one in tried] == sorted((weight[one] for one in tried), reverse=True)
