import re

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from pingap.config import compile_regex
from pingap.config.regex import LinearPattern
from pingap.config.regex.parser import Parser
from pingap.config.regex.writers import Re2Writer


@pytest.mark.parametrize(
    ("expression", "text", "groups"),
    [
        (r"^/api/(?<id>\d+)", "/api/12/x", {"id": "12"}),
        (r"^/(?P<a>[^/]+)/(?<b>.+)$", "/x/y", {"a": "x", "b": "y"}),
        (r"\A/end\z", "/end", {}),
        (r"(?i)^/API", "/api", {}),
        (r"a\x{2d}b", "a-b", {}),
        (r"[[:alpha:]_]+[[:digit:]]", "ab_1", {}),
        (r"[]x]+", "]", {}),
        (r"[^]x]", "a", {}),
        (r"[a|b||c]", "|", {}),
        (r"a{2}b{1,}c{1,2}?", "aabc", {}),
        (r"a+?b*?c??", "ab", {}),
        (r"\<api\>", "/api/", {}),
        (r"(?:a|b)\.c\+", "b.c+", {}),
        (r"[(?=]", "?", {}),
        (r"\(\?=", "(?=", {}),
        (r"(?m)^b$", "a\nb\nc", {}),
        (r"^\pL+$", "stra\u00dfe", {}),
        (r"^\p{Greek}+$", "\u03b1\u03b2", {}),
        (r"^\p{sc=Greek}\p{Letter}\P{Lu}$", "\u03b1bc", {}),
        (r"^[\p{Greek}&&\p{Lu}]+$", "\u0391", {}),
        (r"^[[:^digit:]]+$", "ab", {}),
        (r"^[a-z--[aeiou]]+$", "bcd", {}),
        (r"^[a-c~~b-d]+$", "ad", {}),
        (r"^[^[a-c]x]$", "y", {}),
        (r"^a(?i)b", "aB", {}),
        (r"(?U)^/(?<n>a+)", "/aaa", {"n": "a"}),
        (r"^a++$", "aaa", {}),
        (r"(?x) ^ / a \  b  # a comment", "/a b", {}),
        (r"^(?<a>\w+)+$", "stra\u00dfe", {"a": "stra\u00dfe"}),
        (r"^(?:\d+)+$", "\u0661\u0662", {}),
        (r"^(?:\S+)+$", "a\u00e9", {}),
        (r"^(?<a>b|)*$", "b", {"a": "b"}),  # Python goes on with an empty match
        (r"^\w+$", "e\u0301", {}),  # a combining accent, which Python's \w does not match
        (r"^[\w/]+$", "/e\u0301", {}),
        (r"^(?:\w+)+$", "\u24b6\U0001f130", {}),
        (r"^/\W+$", "/\u00b2", {}),  # a superscript, which Python's \w matches
        ("(?x)a\u00a0b", "ab", {}),
        ("(?x)a\x1cb", "a\x1cb", {}),  # white space for Python only
    ],
)
def test_rust_syntax_matches_as_in_rust(expression, text, groups):
    match = compile_regex(expression).search(text)
    assert match is not None
    assert match.groupdict() == groups


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (r"^/a$", "/a\n"),  # Python's $ also matches before a final newline, Rust's does not
        (r"\A/end\z", "/end\n"),
        (r"[[:alpha:]]", ":"),
        (r"\<pi", "api"),
        (r"^[\p{Greek}&&\p{Lu}]+$", "\u03b1"),
        (r"^[a-z--[aeiou]]+$", "bad"),
        (r"^[a-c~~b-d]+$", "b"),
        (r"^(?:\S+)+$", "a\u2003"),
        (r"^(?:\W+)+$", "\u00e9"),
        (r"^\w+$", "\u00b2"),
        (r"^[^\w]+$", "e\u0301"),
        ("(?x)a\x1cb", "ab"),
    ],
)
def test_what_rust_would_not_match_is_not_matched(expression, text):
    assert compile_regex(expression).search(text) is None


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("a[b", "unterminated character set at character 2"),
        ("a(b", "missing ), unterminated subpattern at character 2"),
        ("ab)", "unbalanced parenthesis at character 3"),
        (r"(?<n>x)[a", "unterminated character set at character 8"),
        ("*a", "nothing to repeat at character 1"),
        ("a(?=b)", "look-ahead is not supported at character 2"),
        ("(?!b)", "look-ahead is not supported at character 1"),
        ("(?<=b)c", "look-behind is not supported at character 1"),
        ("(?<!b)c", "look-behind is not supported at character 1"),
        (r"(a)\1", "back-references are not supported at character 4"),
        ("(?P<n>a)(?P=n)", "back-references are not supported at character 9"),
        ("(?>a)", "atomic groups are not supported at character 1"),
        ("(a)?(?(1)b)", "conditional groups are not supported at character 5"),
        (r"[\p{Gree}]", r"invalid character class range: \p{Gree}"),
        ("[[:letter:]]", "unknown class [:letter:] at character 2"),
        (r"\x{110000}", "no such character at character 1"),
        ("(?R)a+", "the flag R is not supported at character 1"),
        ("(?-u)a+", "the flag -u is not supported at character 1"),
        (r"^/(a+)+\<b", r"\< is not supported in an expression like this; use \b"),
        ("a{1001}", "a repetition of more than 1000 at character 2"),
        (
            "a{2,1}",
            "the second number of a repetition must not be smaller than the first at character 2",
        ),
        ("(?<n>a)(?<n>b)", "two groups are named n at character 8"),
        ("[z-a]", "bad character range at character 5"),
        ("\\", "a backslash at the end at character 1"),
        (r"\y", r"unknown escape \y at character 1"),
        (r"\b{start}a", r"\b{..} is not supported at character 1"),
    ],
)
def test_what_is_refused_says_why_and_where(expression, reason):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        compile_regex(expression)
    shown = expression.replace("\\", "\\\\")
    assert str(caught.value) == f'"{shown}" is not a regular expression: {reason}'


def test_nesting_has_a_limit():
    with pytest.raises(ValueError, match="nested too deeply at character 101"):
        compile_regex("(" * 100_000)


@pytest.mark.parametrize(
    "expression",
    [r"^/(a+)+$", r"^(a|a)*$", r"a.*b.*c", r"^/.*a.*b$", r"(\d+)-x", r"^([^/]*/)*x$", "^(a?){40}$"],
)
def test_no_text_takes_long(expression):
    pattern = compile_regex(expression)
    for text in ("/" + "a" * 60_000, "a1-" * 20_000, "/" * 60_000, "ab" * 30_000):
        pattern.search(text)  # hours with a backtracking engine; the time limit of tests is 60 s


@pytest.mark.parametrize(
    "expression",
    [
        r"^/users/(\d+)/posts/(?<id>\d+)$",
        r"\.(?:jpg|png|gif)$",
        r"^/static/(.*)$",
        r"^/(?<lang>[a-z]{2})/(?<rest>.*)$",
        r"(?i)^/API/",
        r"^/a(?:/b)?/[^/]+/c$",
    ],
)
def test_usual_expressions_keep_the_faster_engine(expression):
    assert isinstance(compile_regex(expression), re.Pattern)


@given(
    st.from_regex(r"(?s)\A\^?(?:[ab/.](?:[*+?]|\{1,2\})?|\([ab]+(?:\|[ab]+)?\)[*?]?){0,5}\$?\Z"),
    st.text("ab/\n", max_size=12),
)
def test_both_engines_find_the_same(expression, text):
    written = Re2Writer().write(Parser(expression).parse())
    expected = re.search(
        expression.removesuffix("$") + (r"\Z" if expression.endswith("$") else ""), text
    )
    found = LinearPattern(re2.compile(written)).search(text)
    chosen = compile_regex(expression).search(text)
    for one in (found, chosen):
        assert (one and one.groups()) == (expected and expected.groups())
        assert (one and one.start()) == (expected and expected.start())


@given(st.text(alphabet="()[]{}?*+|\\$^<>=!:&-.,aPpzx01im~#", max_size=15))
def test_any_text_compiles_or_is_a_value_error(text):
    message = ""
    try:
        compile_regex(text)
    except ValueError as error:
        message = str(error)
    assert not message or "is not a regular expression: " in message
