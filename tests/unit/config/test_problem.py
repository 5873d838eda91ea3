from datetime import date

import pytest

from pingap.config import ConfigError, Problem
from pingap.config.problem import did_you_mean, dotted, shown


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("basic",), "basic"),
        (("locations", "shop", "plugins", 1), "locations.shop.plugins[1]"),
        (("plugins", "pingap:ping"), 'plugins."pingap:ping"'),
        (("plugins", 'a"b', "x"), 'plugins."a\\"b".x'),
        (("plugins", ""), 'plugins.""'),
    ],
)
def test_a_key_path_is_written_as_in_toml(path, text):
    assert dotted(path) == text


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem(("a",), "m", "f.toml", 3), "f.toml:3: a: m"),
        (Problem(("a",), "m", "f.toml"), "f.toml: a: m"),
        (Problem((), "m", "f.toml", 3), "f.toml:3: m"),
        (Problem(("a",), "m"), "a: m"),
    ],
)
def test_a_problem_tells_what_it_knows(problem, text):
    assert str(problem) == text


def test_an_error_lists_all_problems_in_file_order_and_counts_them():
    error = ConfigError(
        [
            Problem(("c",), "third", "b.toml", 1),
            Problem(("b",), "second", "a.toml", 12),
            Problem(("a",), "first", "a.toml", 2),
        ]
    )
    assert str(error) == (
        "a.toml:2: a: first\na.toml:12: b: second\nb.toml:1: c: third\n3 problems."
    )
    assert [problem.message for problem in error.problems] == ["first", "second", "third"]


def test_one_problem_is_counted_in_the_singular():
    assert str(ConfigError([Problem(("a",), "m")])) == "a: m\n1 problem."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12, "12 (integer)"),
        (1.5, "1.5 (float)"),
        (True, "true (boolean)"),
        ("a", '"a" (string)'),
        ("x" * 80, f'"{"x" * 57}..." (string)'),
        (date(1979, 5, 27), "1979-05-27 (date)"),
        (["secret"], "an array"),
        ({"key": "secret"}, "a table"),
    ],
)
def test_a_value_is_shown_with_its_type(value, text):
    assert shown(value) == text


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("pth", '; did you mean "path"?'),
        ("PATH", '; did you mean "path"?'),
        ("zzz", ""),
    ],
)
def test_the_nearest_name_is_suggested(name, hint):
    assert did_you_mean(name, ["path", "host", "weight"]) == hint
