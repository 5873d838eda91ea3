"""Rules in bodies that pass in chunks, without IO."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pingap_rewrite.charsets import CharsetError, charset_of, find_codec, is_single, writable
from pingap_rewrite.stages import GrowthError, RegexStage, Stage, TextStage
from pingap_rewrite.substitutions import RegexRule, TextRule, parse_rule


def stage(entry: str, codec: str = "utf-8", window: int = 64, by_line: bool = False) -> Stage:
    rule = parse_rule(entry)
    if isinstance(rule, TextRule):
        return TextStage(rule, codec, markup=True)
    return RegexStage(rule, codec, window=window, by_line=by_line, markup=True)


def run(made: Stage, chunks: list[bytes]) -> bytes:
    return b"".join([made.feed(one) for one in chunks if one]) + made.end()


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize(
    ("entry", "body", "expected"),
    [
        ("sub_filter 'ab' 'x' g", "ab aab abab", "x ax xx"),
        ("sub_filter 'ab' 'x'", "ab aab abab", "x aab abab"),
        ("sub_filter 'ab' '' g", "ab aab", " a"),
        ("sub_filter 'AB' 'x' gi", "ab Ab aB", "x x x"),
        ("sub_filter 'aab' 'x' g", "aaab aaaab", "ax aax"),
        ("sub_filter 'é' 'e' g", "é è é", "e è e"),
        ("sub_filter '$1' '$2' g", "$1", "$2"),  # a text is a text
        ('sub_filter "it\'s" "it is"', "it's", "it is"),
        ("sub_filter 'a' 'b' ;", "aa", "ba"),
        ("subs_filter 'a(.)' '<$1>' g", "ab ac a", "<b> <c> a"),
        ("subs_filter 'a(?P<x>.)' '${x}$$' g", "ab ac", "b$ c$"),
        ("subs_filter 'A.' '' i", "ab ac", " ac"),
        ("subs_filter '^a' 'x' g", "a\na", "x\na"),
        ("subs_filter '(?m)^a' 'x' g", "a\na", "x\nx"),
        (r"subs_filter '\bfoo\b' 'x' g", "foo foobar foo", "x foobar x"),
        ("subs_filter '(?s)<s>.*?</s>' '' g", "a<s>\n</s>b<s></s>", "ab"),
        ("subs_filter 'É' 'e' gi", "é É", "e e"),
        ("subs_filter 'x*' '-' g", "ab", "-a-b-"),
    ],
)
def test_replacements(entry: str, body: str, expected: str) -> None:
    data = body.encode()
    for size in range(1, len(data) + 1):
        assert run(stage(entry), cut(data, size)).decode() == expected


@given(
    st.text("ab", min_size=1, max_size=4),
    st.text("abx", max_size=3),
    st.lists(st.text("ab", max_size=6), max_size=6),
    st.booleans(),
)
@example("aab", "", ["aa", "aab"], True)
def test_a_text_is_replaced_as_in_one_piece(
    find: str, replacement: str, chunks: list[str], every: bool
) -> None:
    body = "".join(chunks)
    expected = body.replace(find, replacement, -1 if every else 1)
    made = TextStage(TextRule(find, replacement, False, every), "utf-8", markup=False)
    assert run(made, [one.encode() for one in chunks]).decode() == expected
    assert made.replaced == (body.count(find) if every else min(1, body.count(find)))
    assert made.pending == 0


@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(8, 40), st.booleans())
@example([b"\xff\xe9a-b\xc3", b"\xa9a-b"], 8, False)
def test_expressions_do_not_depend_on_chunks(
    chunks: list[bytes], window: int, by_line: bool
) -> None:
    body = b"".join(chunks)
    entry = r"subs_filter '[a-d]+|\b0' '[$0]' g"
    whole = run(stage(entry, window=window, by_line=by_line), [body])
    assert run(stage(entry, window=window, by_line=by_line), chunks) == whole
    assert run(stage(entry, window=window, by_line=by_line), cut(body, 1)) == whole


@given(st.lists(st.sampled_from([b"ab", b"a", b" ", b"\n", b"\xff", "é".encode()]), max_size=60))
def test_short_matches_are_found_in_any_window(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    entry = r"subs_filter '\bab\b' 'x' g"
    expected = run(stage(entry, window=10_000), [body])
    assert run(stage(entry, window=8), [body]) == expected


@given(st.binary(max_size=300), st.sampled_from(["utf-8", "cp1252", "koi8-r", "iso8859-2"]))
def test_what_does_not_match_stays_as_it_is(body: bytes, codec: str) -> None:
    assert run(stage("subs_filter 'no such text' 'x' g", codec, window=16), cut(body, 7)) == body


def test_memory_is_bounded() -> None:
    made = stage("subs_filter 'b' 'x' g", window=1000)
    out = 0
    for _ in range(100):
        out += len(made.feed(b"a" * 777))
        assert made.pending < 1000
    assert out + len(made.end()) == 77700


def test_lines_of_events_leave_at_once() -> None:
    made = stage("subs_filter 'a.b' 'x' g", by_line=True)
    assert made.feed(b"data: a-b\ndata: a") == b"data: x\n"
    assert made.feed(b"\nb\n") == b"data: a\nb\n"
    assert made.end() == b""


def test_growth_is_limited() -> None:
    text = stage(f"sub_filter 'a' '{'x' * 10_000}' g")
    with pytest.raises(GrowthError):
        text.feed(b"a" * 10_000)
    expression = stage(f"subs_filter 'a' '{'x' * 10_000}' g", window=1000)
    with pytest.raises(GrowthError):
        expression.feed(b"a" * 10_000)


@pytest.mark.parametrize(
    ("entry", "codec", "body", "expected"),
    [
        ("sub_filter 'é' '€' g", "cp1252", b"\xe9", b"\x80"),
        ("sub_filter 'é' '€' g", "iso8859-2", b"\xe9", b"&#8364;"),
        ("sub_filter '€' 'x' g", "iso8859-2", b"\xe9", b"\xe9"),
        ("subs_filter 'é+' '<$0€>' g", "koi8-r", b"\xe9", b"\xe9"),
        ("subs_filter 'ж+' '<$0€>' g", "koi8-r", "жж".encode("koi8-r"), b"<\xd6\xd6&#8364;>"),
        (
            "sub_filter '日' '月' g",
            "shift_jis",
            "日本".encode("shift_jis"),
            "月本".encode("shift_jis"),
        ),
    ],
)
def test_character_sets(entry: str, codec: str, body: bytes, expected: bytes) -> None:
    assert run(stage(entry, codec), [body]) == expected


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("UTF-8", "utf-8"), ("utf8", "utf-8"), ("ISO-8859-1", "cp1252"), ("us-ascii", "cp1252"),
        ("windows-1251", "cp1251"), ("Shift_JIS", "shift_jis"), ("gb2312", "gb2312"),
    ],
)  # fmt: skip
def test_names_of_character_sets(name: str, codec: str) -> None:
    assert find_codec(name) == codec


@pytest.mark.parametrize(
    "name",
    [
        "utf-16",
        "utf-32-le",
        "utf-7",
        "iso-2022-jp",
        "cp037",
        "nonsense",
        "base64",
        "rot13",
        "a\x00b",
    ],
)
def test_character_sets_that_cannot_be_searched(name: str) -> None:
    with pytest.raises(CharsetError):
        find_codec(name)


def test_charset_of_a_media_type() -> None:
    assert charset_of('text/html; Charset="KOI8-R"', "utf-8") == "KOI8-R"
    assert charset_of("text/html", "x") == charset_of(None, "x") == "x"
    assert not is_single("utf-8")
    with pytest.raises(CharsetError):
        writable("€", "iso8859-2", markup=False)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("sub_filter a b", "expected sub_filter 'TEXT' 'REPLACEMENT'"),
        ("x sub_filter 'a' 'b'", "expected sub_filter"),
        ("sub_filter '' 'b'", "empty text"),
        ("sub_filter 'a' 'b' gx", 'expected i and g: "x" is unknown'),
        ("subs_filter '(' 'b'", "is not a regular expression"),
        ("subs_filter 'a' '$1'", 'there is no group "1"'),
        (f"sub_filter '{'a' * 5000}' 'b'", "longer than 4096 bytes"),
    ],
)
def test_mistakes(entry: str, told: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_rule(entry)
    assert told in str(caught.value)


def test_rules_of_headers() -> None:
    assert parse_rule("sub_filter 'HTTP://a' 'b' gi").apply("http://a http://A") == "b b"
    assert parse_rule("sub_filter 'a' r'b'".replace("r'", "'")).apply("aa") == "ba"
    rule = parse_rule("subs_filter 'a(.)' '$1' g")
    assert isinstance(rule, RegexRule)
    assert rule.apply("ab-ac-") == "b-c-"
