"""Directives of ``Cache-Control`` and of targeted fields."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_cache.http.directives import (
    NO_DIRECTIVES,
    UNLIMITED,
    Directives,
    parse,
    request_directives,
    response_directives,
    serialise,
)
from simulated_cache import headers


@pytest.mark.parametrize(
    ("text", "directives"),
    [
        ("", []),
        (" , ,", []),
        ("no-store", [("no-store", None)]),
        ("No-StOrE", [("no-store", None)]),
        ("max-age=1", [("max-age", "1")]),
        ("MaX-aGe=1,public", [("max-age", "1"), ("public", None)]),
        ('max-age="1"', [("max-age", "1")]),
        ("max-age='1'", [("max-age", "'1'")]),
        ("max-age=1 , public", [("max-age", "1"), ("public", None)]),
        ("max-age =1", [("max-age", "")]),
        ("max-age= 1", [("max-age", "")]),
        ("max-age=", [("max-age", "")]),
        ("max-age 1", [("max-age", None)]),
        ("max-age=1 2", [("max-age", "1 2")]),
        ("a=1, a=2", [("a", "1"), ("a", "2")]),
        ('x="max-age=3600", max-age=1', [("x", "max-age=3600"), ("max-age", "1")]),
        ('max-age=1, x="max-age=3600"', [("max-age", "1"), ("x", "max-age=3600")]),
        ('x="a\\"b, no-store", public', [("x", 'a"b, no-store'), ("public", None)]),
        ('x="never ends, no-store', [("x", "never ends, no-store")]),
        ('x="\\', [("x", "")]),
        ('x="a"b, public', [("x", "a"), ("public", None)]),
        ('"quoted, text", no-store', [("no-store", None)]),
        ("=1, no-store", [("no-store", None)]),
        ("no-store;q=1, public", [("no-store;q", "1"), ("public", None)]),
    ],
)
def test_how_a_list_is_read(text: str, directives: Directives) -> None:
    assert parse(text) == directives


@given(st.text(st.sampled_from("ab=,\"\\ \t\n1'-é"), max_size=30) | st.text())
def test_reading_never_fails_and_what_is_written_again_is_the_same(text: str) -> None:
    read = parse(text)
    assert parse(serialise(read)) == read


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True),
            st.none() | st.text(st.characters(max_codepoint=255), max_size=8),
        )
    ),
    st.sampled_from([",", ", ", " ,", "\t,\t", ",,", " , , "]),
    st.booleans(),
)
def test_reading_does_not_depend_on_the_format(
    directives: Directives, comma: str, upper: bool
) -> None:
    members = [serialise([directive]) for directive in directives]
    if upper:
        members = [
            name.upper() + equals + argument
            for name, equals, argument in (member.partition("=") for member in members)
        ]
    assert parse(comma + comma.join(members)) == directives


def response(*lines: str, **more: str):  # type: ignore[no-untyped-def]
    pairs = [("Cache-Control", line) for line in lines]
    pairs += [(name.replace("_", "-"), value) for name, value in more.items()]
    return response_directives(headers(pairs), (b"cdn-cache-control", b"surrogate-control"))


def test_a_response_that_says_nothing() -> None:
    said = response()
    assert not said.field
    assert not said.names_lifetime


def test_flags_of_a_response_whatever_their_argument() -> None:
    said = response(
        "no-store=x, public, must-revalidate",
        'proxy-revalidate="a", must-understand, private, no-cache',
    )
    assert said.no_store
    assert said.public
    assert said.must_revalidate
    assert said.proxy_revalidate
    assert said.must_understand
    assert said.private
    assert said.no_cache


@pytest.mark.parametrize(
    ("lines", "max_age", "invalid"),
    [
        (["max-age=60"], 60, False),
        (["max-age=1800, max-age=1"], 1800, False),
        (["max-age=1", "max-age=1800"], 1, False),
        (["max-age=-1"], 0, True),
        (["max-age=a3600"], 0, True),
        (["max-age=3600a"], 0, True),
        (["max-age=3600.0"], 0, True),
        (["max-age"], 0, True),
        (["max-age="], 0, True),
        (["max-age =60"], 0, True),
        (["public"], None, False),
    ],
)
def test_the_first_lifetime_counts_and_an_invalid_one_is_none(
    lines: list[str], max_age: int | None, invalid: bool
) -> None:
    said = response(*lines)
    assert (said.max_age, said.invalid) == (max_age, invalid)


@pytest.mark.parametrize(
    ("lines", "everything", "fields"),
    [
        (["no-cache"], True, set()),
        (['no-cache="a"'], False, {b"a"}),
        (['no-cache="Set-Cookie, A"'], False, {b"set-cookie", b"a"}),
        (["no-cache=a"], False, {b"a"}),
        (['no-cache="a"', 'no-cache="b"'], False, {b"a", b"b"}),
        (['no-cache="a"', "no-cache"], True, set()),
        (["no-cache", 'no-cache="a"'], True, set()),
        (['no-cache=""'], True, set()),
        (['no-cache="(), "'], True, set()),
        (["no-cache ="], True, set()),
    ],
)
def test_no_cache_and_private_with_field_names(
    lines: list[str], everything: bool, fields: set[bytes]
) -> None:
    said = response(*lines)
    assert (said.no_cache, said.no_cache_fields) == (everything, fields)
    said = response(*(line.replace("no-cache", "private") for line in lines))
    assert (said.private, said.private_fields) == (everything, fields)


@pytest.mark.parametrize(
    ("targeted", "field", "max_age"),
    [
        ("max-age=10", "cdn-cache-control", 10),
        ("foobar, max-age=10", "cdn-cache-control", 10),
        ("max-age=99999999999", "cdn-cache-control", 2**31),
        ("max-age=10;x=y", "cdn-cache-control", 10),
        ("max-age=10, max-age=20", "cdn-cache-control", 20),  # of a Dictionary, the last
        ("", "cache-control", 1),
        ("max-age=10, &&&&&", "cache-control", 1),
        ("max-age =10", "cache-control", 1),
        ("max-age= 10", "cache-control", 1),
        ("MaX-aGe=10", "cache-control", 1),
        ('max-age="10"', "cdn-cache-control", 0),
        ("max-age=10.5", "cdn-cache-control", 0),
        ("max-age=-10", "cdn-cache-control", 0),
        ("max-age=?0, public", "cdn-cache-control", None),
        ("no-store", "cdn-cache-control", None),
    ],
)
def test_a_targeted_field_that_is_valid_takes_the_place_of_cache_control(
    targeted: str, field: str, max_age: int | None
) -> None:
    said = response("max-age=1", CDN_Cache_Control=targeted)
    assert (said.field, said.max_age) == (field, max_age)


def test_what_types_a_targeted_field_has() -> None:
    said = response(CDN_Cache_Control='no-store=?0, private="set-cookie, a", no-cache=token')
    assert not said.no_store
    assert said.private_fields == {b"set-cookie", b"a"}
    assert said.no_cache


def test_targeted_fields_in_the_order_of_the_list() -> None:
    pairs = [("A-Cache-Control", "max-age=1"), ("B-Cache-Control", "max-age=2")]
    said = response_directives(headers(pairs), (b"b-cache-control", b"a-cache-control"))
    assert said.max_age == 2
    assert response_directives(headers(pairs)).field == ""


def test_surrogate_control_is_written_like_cache_control() -> None:
    said = response("no-store", Surrogate_Control='MaX-aGe=60+30, content="ESI/1.0"')
    assert (said.max_age, said.stale_while_revalidate, said.no_store) == (60, 30, False)
    assert response("max-age=1", Surrogate_Control="max-age =60").max_age == 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("no-cache", {"no_cache": True}),
        ("No-Store", {"no_store": True}),
        ("only-if-cached", {"only_if_cached": True}),
        ("max-age=0", {"max_age": 0}),
        ("max-age=x", {"max_age": None}),
        ("min-fresh=5", {"min_fresh": 5}),
        ("max-stale", {"max_stale": UNLIMITED}),
        ("max-stale=5", {"max_stale": 5}),
        ("max-stale=x", {"max_stale": None}),
        ("stale-if-error=9", {"stale_if_error": 9}),
    ],
)
def test_what_a_request_asks(value: str, expected: dict[str, object]) -> None:
    asked = request_directives(headers([("Cache-Control", value)]))
    assert {name: getattr(asked, name) for name in expected} == expected


def test_pragma_is_not_heard() -> None:
    assert request_directives(headers([("Pragma", "no-cache")])) is NO_DIRECTIVES
