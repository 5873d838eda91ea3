"""Normalisation of paths and hosts: RFC 3986, 5.2.4 and 6.2.2, and what is refused."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingap.config.entries import never_matched
from pingap.http.hosts import normal_host
from pingap.http.paths import ALLOWABLE, InvalidPath, PathRules, as_matched, as_sent, is_odd

RULES = PathRules()
LENIENT = PathRules(allowed=frozenset(ALLOWABLE))

NORMAL = {
    "/": "/", "/a/b": "/a/b", "/%7Ea%2D%5f": "/~a-_", "/%2cb%3A%40%21%3b": "/,b:@!;",
    "/%22%3c%7C%7b": '/"<|{', "/a%20b%09": "/a%20b%09", "/%3f%23%25": "/%3F%23%25",
    "/%252e%252F": "/%252e%252F", "/%2561": "/%2561", "/caf\xc3\xa9": "/café",
    "/caf%c3%a9": "/café", "/%ff\xff%e9": "/%FF%FF%E9", "/%f0%9f%98%80": "/😀",
    "/.": "/", "/..": "/", "/./": "/", "/../": "/", "/a/.": "/a/", "/a/..": "/", "/a/b/..": "/a/",
    "/a/b/../": "/a/", "/a/b/c/./../../g": "/a/g", "/../../a": "/a", "/...": "/...", "/.a/..b": "/.a/..b",
    "//": "/", "///a//b//": "/a/b/", "//../a": "/a", "/a/..//b": "/b", "/%2e%2E/%2e/a": "/a",
    "/a;x/b;c=d/../e;y": "/a;x/e;y", "/;a": "/;a", "/a/..b;c": "/a/..b;c",
}  # fmt: skip


@pytest.mark.parametrize("path", NORMAL)
def test_a_path_has_one_spelling(path: str) -> None:
    reading = RULES.read(path)
    assert (reading.path, reading.others, reading.danger) == (NORMAL[path], (), "")
    assert is_odd(path) or path == NORMAL[path]
    assert as_matched(as_sent(reading.path)) == reading.path


@pytest.mark.parametrize("path", ["/%", "/%2", "/%zz", "/%%36%31", "/%u0061", "/\xff%g0"])
def test_an_invalid_escape_is_refused(path: str) -> None:
    with pytest.raises(InvalidPath, match="the path has an invalid escape"):
        RULES.read(path)


@pytest.mark.parametrize("path", ["/%c0%ae", "/%C1%9c", "/%e0%80%af", "/%f0%80%80%af", "/\xc0\xaf"])
def test_overlong_ascii_is_refused(path: str) -> None:
    with pytest.raises(InvalidPath, match="overlong"):
        LENIENT.read(path)


def test_a_nul_is_refused_unless_it_is_allowed() -> None:
    with pytest.raises(InvalidPath, match="the path has a NUL"):
        RULES.read("/a%00b")
    assert (LENIENT.read("/a%00b").path, LENIENT.read("/a%00b").others) == ("/a", ("/a%00b",))


@pytest.mark.parametrize(
    ("path", "first", "others", "allowed"),
    [
        ("/a%2fb", "/a/b", ("/a%2Fb",), True),
        ("/x/..%2Fa", "/a", ("/x/..%2Fa",), True),
        ("/a\\b", "/a/b", ("/a\\b",), True),
        ("/x\\..\\a%5c", "/a/", ("/x\\..\\a%5C",), True),
        ("/x/..%2fa%5c..", "/", ("/a%5C..", "/x/", "/x/..%2Fa%5C.."), True),
        ("/a//../b", "/b", (), False),
        ("/a/..;b/c", "/c", (), False),
        ("/a/%2e%3bb/c", "/a/c", (), False),
        ("/a/..;b%2f..%2fc", "/c", (), False),
        ("/;x/admin", "/admin", (), False),
        ("/a/;x/%3by/../admin", "/admin", (), False),
    ],
)
def test_what_backends_read_differently(
    path: str, first: str, others: tuple[str, ...], allowed: bool
) -> None:
    reading = RULES.read(path)
    assert (reading.path, reading.others) == (first, ())
    assert reading.danger
    lenient = LENIENT.read(path)
    assert lenient.path == first
    assert set(lenient.others) <= set(others) or not allowed
    assert bool(lenient.danger) is not allowed


def test_raw_paths_are_only_decoded_as_utf8() -> None:
    assert PathRules(raw=True).read("/%61//\\%\xc3\xa9").path == "/%61//\\%é"


@given(st.text(st.sampled_from("/.%2e5cfF0a;\\\xc3\xa9"), max_size=30))
def test_a_normalised_path_is_its_own_form(text: str) -> None:
    try:
        reading = LENIENT.read("/" + text)
    except InvalidPath:
        return
    for path in (reading.path, *reading.others):
        assert path.startswith("/")
        assert "//" not in path
        assert not {".", ".."} & set(path.split("/"))
        path.encode()
    if not (reading.others or reading.danger):
        again = LENIENT.read(as_sent(reading.path))
        assert (again.path, again.danger) == (reading.path, "")


@pytest.mark.parametrize(
    "piece", ["/", "/..", "%61", "/%2e%2e", "%2f", "\\", "%5c..%2f", "/a/..;x", "\xff"]
)
def test_a_long_path_takes_no_longer_than_its_length(piece: str) -> None:
    def seconds(count: int) -> float:
        began = time.process_time()
        LENIENT.read("/" + piece * count)
        return time.process_time() - began

    short = min(seconds(1000) for _ in range(5))
    assert min(seconds(8000) for _ in range(3)) < 40 * short + 0.01


@pytest.mark.parametrize(
    ("written", "matched"),
    [
        ("/caf%c3%a9", "/café"), ("/a b", "/a%20b"), ("//a", "/a"), ("/.", "/."), ("/a/../b", "/a/../b"),
        ("/%7ea%2f", "/~a%2F"), ("/100%", "/100%"), ("", ""), ("/ü%", "/ü%"),
    ],
)  # fmt: skip
def test_paths_of_locations(written: str, matched: str) -> None:
    assert as_matched(written) == matched


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("~^/%7Euser", '"%7E" is written "~"'), ("~^//", "slashes are merged"), ("/a/../b", "dot segments"),
        ("=/a/.", "dot segments"), ("/a%2fb", "encoded slash"), ("/a\\b", "a backslash"),
        ("~^/a%2Fb", "encoded slash"), ("~^/caf%c3%a9", '"%c3"'),
    ],
)  # fmt: skip
def test_what_is_never_matched(path: str, reason: str) -> None:
    assert reason in (never_matched(path) or "")


@pytest.mark.parametrize(
    "path", ["", "/", "/.", "/..", "~^/a%20b", "~\\.php$", "=/a", "/%7ea", "//a", "/a.b/"]
)
def test_what_can_be_matched(path: str) -> None:
    assert never_matched(path) is None


@pytest.mark.parametrize(
    ("host", "normal"),
    [
        ("", ""), ("a", "a"), ("A.Example.", "a.example"), ("%61.b", "a.b"), ("xn--Bcher-kva.x", "xn--bcher-kva.x"),
        ("[0:0:0::1]", "[::1]"), ("[FE80::A]", "[fe80::a]"), ("127.0.0.1", "127.0.0.1"),
    ],
)  # fmt: skip
def test_hosts(host: str, normal: str) -> None:
    assert normal_host(host) == normal


@pytest.mark.parametrize("host", [".", "a..", "a..b", "[::g]", "[1]", "%00", "%e9"])
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        normal_host(host)
