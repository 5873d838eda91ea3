import re

import pytest

from pingap.config.entries import (
    check_condition,
    check_header_condition,
    check_method,
    parse_header,
    split_condition,
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


@pytest.mark.parametrize("check", [check_condition, check_header_condition])
@pytest.mark.parametrize(
    "entry", ["", " ", "a", "a:", " a : b:c ", "!a", "!a:b", "a:~^b|c$", "a | !b:c | d:~e"]
)
def test_conditions_that_are_written_well(check, entry):
    assert check(entry) == entry


@pytest.mark.parametrize("check", [check_condition, check_header_condition])
@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (":b", 'found ":b", expected a condition such as "name:value" or "name"'),
        ("a | :b", 'found ":b", expected a condition'),
        ("!", 'found "!", expected a condition'),
        ("a:~(", "regular expression"),
    ],
)
def test_conditions_that_are_not(check, entry, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        check(entry)


def test_alternatives_have_spaces_between_them():
    assert split_condition(" a:1 | b:2|3 ") == ["a:1", "b:2|3"]


def test_a_query_name_may_hold_what_a_header_name_may_not():
    assert check_condition("a[0]:1")
    with pytest.raises(ValueError, match=r'^"a\[0\]" is not a header name$'):
        check_header_condition("x | a[0]:1")


def test_methods_are_in_capitals():
    assert check_method("PROPFIND") == "PROPFIND"
    with pytest.raises(ValueError, match=r'^found "get", expected GET$'):
        check_method("get")
    with pytest.raises(ValueError, match=r'^"G T" is not a method$'):
        check_method("G T")


def test_hosts_are_split_and_trimmed():
    assert split_hosts(" a.com, ,*.b.com ,") == ["a.com", "*.b.com"]
