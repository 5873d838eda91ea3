import pytest

from pingap.config.entries import (
    parse_condition,
    parse_header,
    parse_header_condition,
    split_hosts,
)


@pytest.mark.parametrize(
    ("entry", "parsed"),
    [
        ("X-A: b", ("X-A", "b")),
        (" X-A :b: c ", ("X-A", "b: c")),
        ("X-A:", ("X-A", "")),
        ("X-Id::connection_id", ("X-Id", ":connection_id")),
    ],
)
def test_a_header_is_split_at_its_first_colon(entry, parsed):
    assert parse_header(entry) == parsed


@pytest.mark.parametrize("parse", [parse_condition, parse_header_condition])
@pytest.mark.parametrize(
    ("entry", "parsed"),
    [
        ("a:b", ("a", "b")),
        (" a : b:c ", ("a", "b:c")),
        ("a", ("a", None)),
        ("a:", ("a", "")),
    ],
)
def test_a_condition_tells_presence_from_an_empty_value(parse, entry, parsed):
    assert parse(entry) == parsed


def test_a_query_name_may_hold_what_a_header_name_may_not():
    assert parse_condition("a[0]:1") == ("a[0]", "1")
    with pytest.raises(ValueError, match=r'^"a\[0\]" is not a header name$'):
        parse_header_condition("a[0]:1")


def test_hosts_are_split_and_trimmed():
    assert split_hosts(" a.com, ,*.b.com ,") == ["a.com", "*.b.com"]
