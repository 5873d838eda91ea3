import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingap.config import compile_regex


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
        (r"x$y$*+", "a quantifier after a quantifier is not supported at character 6"),
        ("*a", "nothing to repeat at character 1"),
        ("a(?=b)", "look-ahead is not supported at character 2"),
        ("(?!b)", "look-ahead is not supported at character 1"),
        ("(?<=b)c", "look-behind is not supported at character 1"),
        ("(?<!b)c", "look-behind is not supported at character 1"),
        (r"(a)\1", "back-references are not supported at character 4"),
        ("(?P<n>a)(?P=n)", "back-references are not supported at character 9"),
        ("(?>a)", "atomic groups are not supported at character 1"),
        ("(a)?(?(1)b)", "conditional groups are not supported at character 5"),
        ("a++", "a quantifier after a quantifier is not supported at character 3"),
        (r"\pL", r"Unicode classes (\p) are not supported at character 1"),
        (r"[\p{Greek}]", r"Unicode classes (\p) are not supported at character 2"),
        ("[a[b]]", r"a class in a class is not supported (a bracket is written \[) at character 3"),
        ("[a-z&&b]", "the class operation && is not supported at character 5"),
        ("[[:letter:]]", "unknown class [:letter:] at character 2"),
        (r"\x{110000}", "no such character at character 1"),
        ("(?U)a+", "the flags U and R are not supported at character 1"),
        (r"\b{start}a", r"\b{..} is not supported at character 1"),
        ("a(?i)b", "global flags not at the start of the expression at character 2"),
    ],
)
def test_what_is_refused_says_why_and_where(expression, reason):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        compile_regex(expression)
    shown = expression.replace("\\", "\\\\")
    assert str(caught.value) == f'"{shown}" is not a regular expression: {reason}'


@given(st.text(alphabet="()[]{}?*+|\\$^<>=!:&-.,aPpzx01im", max_size=15))
def test_any_text_compiles_or_is_a_value_error(text):
    message = ""
    try:
        compile_regex(text)
    except ValueError as error:
        message = str(error)
    assert not message or "is not a regular expression: " in message
