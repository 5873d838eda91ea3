"""How stored responses and markers of variants are written and read, what they say, and what tags they have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_cache.http.stored import DecodeError, StoredResponse
from pingap_cache.http.tags import LONGEST, MOST, response_tags
from pingap_cache.http.vary import GENERATION_SIZE, MarkerError, Variants, is_marker
from simulated_cache import headers

NAME = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True)
VALUE = st.text(st.characters(max_codepoint=255, blacklist_characters="\r\n\0"), max_size=20).map(
    lambda text: text.strip(" \t")
)
TIME = st.floats(min_value=-1e12, max_value=1e12)
RESPONSES = st.builds(
    StoredResponse,
    status=st.integers(200, 999),
    reason=st.none() | st.binary(max_size=10),
    headers=st.lists(st.tuples(NAME, VALUE), max_size=8).map(headers),
    request_time=TIME,
    response_time=TIME,
    born=TIME,
    lifetime=TIME,
    source=st.text(max_size=10),
    no_cache=st.booleans(),
    forbids_stale=st.booleans(),
    stale_while_revalidate=TIME,
    stale_if_error=TIME,
    url=st.text(st.characters(max_codepoint=0x10FFFF, blacklist_categories=["Cs"]), max_size=20),
    tags=st.lists(
        st.text(st.characters(max_codepoint=255, blacklist_characters="\n"), min_size=1, max_size=8), max_size=4
    ).map(tuple),
)  # fmt: skip
VARIANTS = st.builds(
    Variants,
    names=st.lists(NAME.map(str.encode), min_size=1, max_size=4, unique=True).map(lambda names: tuple(sorted(names))),
    generation=st.binary(min_size=GENERATION_SIZE, max_size=GENERATION_SIZE),
)  # fmt: skip


@given(RESPONSES)
def test_what_is_written_is_read(response: StoredResponse) -> None:
    data = response.encode()
    assert StoredResponse.decode(data) == response
    assert not is_marker(data)


@given(RESPONSES, st.data())
def test_damage_is_noticed(response: StoredResponse, data: st.DataObject) -> None:
    written = response.encode()
    at = data.draw(st.integers(0, len(written) - 1))
    change = data.draw(st.integers(1, 255))
    damaged = bytearray(written)
    damaged[at] ^= change
    with pytest.raises(DecodeError):
        StoredResponse.decode(bytes(damaged))
    with pytest.raises(DecodeError):
        StoredResponse.decode(written[:at])
    with pytest.raises(DecodeError):
        StoredResponse.decode(written + bytes([change]))


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        StoredResponse.decode(data)
    with pytest.raises(MarkerError):
        Variants.decode(data)


@given(VARIANTS)
def test_a_marker_is_read_as_it_was_written(variants: Variants) -> None:
    data = variants.encode()
    assert Variants.decode(data) == variants
    assert is_marker(data)
    with pytest.raises(DecodeError):
        StoredResponse.decode(data)


@given(RESPONSES, TIME)
def test_age_is_never_negative_and_never_less_than_on_arrival(
    response: StoredResponse, now: float
) -> None:
    assert response.age(now) >= 0
    assert response.age(now) >= response.response_time - response.born


SELECTING = st.lists(
    st.tuples(st.sampled_from(["a", "b", "ab"]), st.text("ab,: 12", max_size=6)), max_size=4
)


@given(SELECTING, SELECTING, st.sets(st.sampled_from([b"a", b"b", b"ab"]), min_size=1))
def test_keys_of_variants_are_equal_only_if_all_values_are(
    first: list[tuple[str, str]], second: list[tuple[str, str]], names: set[bytes]
) -> None:
    variants = Variants(tuple(sorted(names)), b"generati")

    def values(pairs: list[tuple[str, str]]) -> list[list[str] | None]:
        found: list[list[str] | None] = []
        for name in variants.names:
            lines = [value for known, value in pairs if known.encode() == name]
            members = [part.strip(" ") for line in lines for part in line.split(",")]
            found.append([part for part in members if part] if lines else None)
        return found

    same = variants.key(b"k", headers(first)) == variants.key(b"k", headers(second))
    assert same == (values(first) == values(second))


def test_keys_depend_on_the_generation_and_on_the_primary_key() -> None:
    asked = headers([("A", "1")])
    keys = {
        Variants((b"a",), generation).key(primary, asked)
        for generation in (b"generati", b"another ")
        for primary in (b"k", b"l")
    }
    assert len(keys) == 4


def test_a_marker_grows_and_keeps_what_it_had() -> None:
    marker = Variants((b"b",), b"generati")
    assert marker.covers(())
    assert marker.covers((b"b",))
    assert not marker.covers((b"a", b"b"))
    assert marker.widened((b"a",), b"another ") == Variants((b"a", b"b"), b"another ")


@pytest.mark.parametrize(
    ("pairs", "tags"),
    [
        ([], ()),
        ([("Cache-Tag", "a, b ,c,,a")], ("a", "b", "c")),
        ([("Cache-Tag", "a b"), ("Cache-Tag", "c")], ("a b", "c")),
        ([("Surrogate-Key", "a  b\tc"), ("Surrogate-Key", "d")], ("a", "b", "c", "d")),
        ([("Cache-Tag", "a"), ("Surrogate-Key", "a b")], ("a", "b")),
        ([("Surrogate-Key", "x" * (LONGEST + 1) + " y")], ("y",)),
    ],
)
def test_tags(pairs: list[tuple[str, str]], tags: tuple[str, ...]) -> None:
    assert response_tags(headers(pairs)) == tags


def test_there_is_a_limit_of_tags() -> None:
    many = ",".join(map(str, range(MOST + 5)))
    assert len(response_tags(headers([("Cache-Tag", many)]))) == MOST
