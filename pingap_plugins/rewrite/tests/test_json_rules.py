"""Rules for JSON, without IO."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_rewrite.json_paths import EVERY, parse_json_rule
from pingap_rewrite.json_text import JSONError, transform

from pingap import Value


def run(body: str, *rules: str, **variables: str) -> str:
    def expand(value: Value) -> str | None:
        return variables.get(value.text.removeprefix("$"))

    parsed = [parse_json_rule(one) for one in rules]
    return transform(body.encode(), parsed, expand).decode()


@pytest.mark.parametrize(
    ("rule", "body", "expected"),
    [
        ("set a 1", "{}", '{"a":1}'),
        ("set a.b.c [1, {}]", '{"x":0}', '{"x":0,"a":{"b":{"c":[1,{}]}}}'),
        ('set a "x y"', '{"a":{"b":1}}', '{"a":"x y"}'),
        (
            "set a.b 1",
            '{"a":5}',
            '{"a":5}',
        ),  # no object is there, and nothing is replaced on the way
        ("set a[0].b 1", '{"a":[{},{}]}', '{"a":[{"b":1},{}]}'),
        ("set a[*].b null", '{"a":[{},{},3]}', '{"a":[{"b":null},{"b":null},3]}'),
        ("set a[-1] 9", '{"a":[1,2]}', '{"a":[1,9]}'),
        ("set a[5] 9", '{"a":[1,2]}', '{"a":[1,2]}'),
        ("set * 9", '{"a":1,"b":2}', '{"a":9,"b":9}'),
        ("set [0] 9", "[1]", "[9]"),
        ("set a $host", "{}", '{"a":"h"}'),
        ("set a $method", '{"a":1,"b":2}', '{"b":2}'),  # without a value it is removed
        ("set a.b $method", "{}", "{}"),
        ("default a 1", '{"a":null}', '{"a":null}'),
        ("default a.b 1", "{}", '{"a":{"b":1}}'),
        ("default a $method", '{"b":1}', '{"b":1}'),
        ("remove a", '{"a":1,"b":2}', '{"b":2}'),
        ("remove a.b", '{"a":{"b":1}}', '{"a":{}}'),
        ("remove a[*]", '{"a":[1,2]}', '{"a":[]}'),
        ("remove a[0]", '{"a":[1,2]}', '{"a":[2]}'),
        ("remove *.id", '{"a":{"id":1},"b":{"id":2},"c":3}', '{"a":{},"b":{},"c":3}'),
        ("remove [*].id", '[{"id":1},{"id":2,"x":1}]', '[{},{"x":1}]'),
        ('remove "a.b"."c d"', '{"a.b":{"c d":1}}', '{"a.b":{}}'),
        ("remove größe", '{"größe":1}', "{}"),
        ("rename a b", '{"x":0,"a":1,"c":2}', '{"x":0,"b":1,"c":2}'),
        ("rename a b", '{"b":0,"a":1}', '{"b":1}'),
        ('rename a.b "c d"', '{"a":{"b":1}}', '{"a":{"c d":1}}'),
        ("rename a a", '{"a":1}', '{"a":1}'),
        ("rename a[*].b c", '{"a":[{"b":1},{"b":2}]}', '{"a":[{"c":1},{"c":2}]}'),
        # Without anything to do, no byte changes.
        ("remove z", '{ "a" : 1.10 }', '{ "a" : 1.10 }'),
    ],
)
def test_rules(rule: str, body: str, expected: str) -> None:
    assert run(body, rule, host="h") == expected


def test_rules_apply_in_order() -> None:
    rules = ("rename a b", "set b.c 1", "remove x")
    assert run('{"a":{},"x":1}', *rules) == '{"b":{"c":1}}'


def test_values_are_not_shared() -> None:
    rules = ("set a[*] {}", "set a[0].x 1")
    assert run('{"a":[0,0]}', *rules) == '{"a":[{"x":1},{}]}'


@pytest.mark.parametrize(
    "number",
    [
        "1.10",
        "1E400",
        "-0",
        "-0.0",
        "12345678901234567890123",
        "1e-7",
        "0.1000000000000000055511151231257827",
    ],
)
def test_numbers_stay_as_they_are(number: str) -> None:
    assert run(f'{{"a":1,"n":[{number}]}}', "remove a") == f'{{"n":[{number}]}}'


def test_text_stays_as_it_is() -> None:
    assert run('{"a":1,"t":"é€\\u20ac\\n\\u0000"}', "remove a") == '{"t":"é€€\\n\\u0000"}'
    assert run('{"a":1,"t":"\\ud800"}', "remove a") == '{"t":"\\ud800"}'


def test_a_repeated_name_hides_nothing() -> None:
    body = '{"user":{"role":"admin"},"user":{"name":"x"}}'
    assert run(body, "remove user.role") == '{"user":{"name":"x"}}'


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"{'a':1}", b"[1,]", b"NaN", b'{"a":Infinity}', b"\xff", b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b"[" * 100_000, b'{"a":1}//'],
)  # fmt: skip
def test_what_is_not_json(body: bytes) -> None:
    with pytest.raises(JSONError):
        transform(body, [parse_json_rule("remove a")], lambda _: None)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=12,
)


def test_long_arrays_are_written_whole() -> None:
    value = {
        "a": 0,
        "b": {"c": list(range(1001)), "d": [[], {}, [{}]], "e": [[1] * 101] * 3},
        "f": {},
    }
    changed = run(json.dumps(value), "remove a")
    assert changed == json.dumps({"b": value["b"], "f": {}}, separators=(",", ":"))


@given(VALUES, st.sampled_from(["a", "a.b", "[0]", "[*].a", "*.b", "a[-1]", "*[*].c"]))
def test_what_was_removed_is_gone(value: object, path: str) -> None:
    rule = f"remove {path}"
    once = run(json.dumps(value), rule)
    if "[0]" not in path and "[-1]" not in path:
        assert run(once, rule) == once
    assert json.loads(run(once, "set zz 1")) == (
        {**json.loads(once), "zz": 1} if once.startswith("{") else json.loads(once)
    )


def test_paths() -> None:
    assert parse_json_rule('remove a."b c"[0][*].*.d-e').path == (
        "a",
        "b c",
        0,
        EVERY,
        EVERY,
        "d-e",
    )


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("", "expected set PATH VALUE"),
        ("delete a", 'found "delete a", expected set PATH VALUE'),
        ("remove", "there is no path"),
        ("remove a..b", "no valid path: character 2"),
        ("remove a.", "no valid path"),
        ("remove .a", "no valid path: character 1"),
        ("remove a[x]", "no valid path: character 2"),
        ("remove a[0]b", "no valid path"),
        ("remove a.[0]", "no valid path"),
        ("remove a b", 'found "b" behind the path'),
        ("set a", "expected set PATH VALUE"),
        ("set a text", "text is neither JSON nor a variable; a string needs quotes"),
        ("set a NaN", "NaN is neither JSON"),
        ("set a $nothing", "$nothing is neither an environment variable"),
        ("rename a[0] b", "only a member of an object can be renamed"),
        ("rename a", "expected set PATH VALUE"),
        ('rename a "b', "is not a name in quotes"),
        ("default a[*] 1", "default needs the name of a member"),
        ("remove " + ".".join("a" * 65), "at most 64 segments"),
    ],
)
def test_mistakes(rule: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        parse_json_rule(rule)
