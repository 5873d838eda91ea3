"""How the URLs of an application that is mounted below a prefix are corrected."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pingap_rewrite.mount_fields import Prefix, authority, check_prefix

APP = Prefix("/app")
HOSTS = {"h.test"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "app",
        "//app",
        "/a//b",
        "/a?b",
        "/a%20b",
        "/a b",
        "/../a",
        "/a/.",
        "/a\\b",
        "/a#b",
        "/a\n",
    ],
)
def test_what_is_no_prefix(text: str) -> None:
    with pytest.raises(ValueError, match="expected a path such as"):
        check_prefix(text)


def test_a_prefix_has_no_slash_at_its_end() -> None:
    assert check_prefix("/app/") == check_prefix("/app") == "/app"
    assert check_prefix("/a/b.c") == "/a/b.c"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/", "/app/"), ("/x?y#z", "/app/x?y#z"), ("/apple", "/app/apple"), ("/?a=/app", "/app/?a=/app"),
        ("/app", "/app"), ("/app/", "/app/"), ("/app?x", "/app?x"), ("/app#x", "/app#x"), ("/app/x", "/app/x"),
        ("x", "x"), ("../x", "../x"), ("?x", "?x"), ("#x", "#x"), ("", ""), ("mailto:a@h.test", "mailto:a@h.test"),
        ("http://h.test/x", "http://h.test/app/x"), ("HTTPS://H.TEST/x", "HTTPS://H.TEST/app/x"),
        ("http://h.test:80/x", "http://h.test:80/app/x"), ("https://h.test:443/", "https://h.test:443/app/"),
        ("http://h.test", "http://h.test/app/"), ("http://h.test?x", "http://h.test/app/?x"),
        ("http://h.test/app/x", "http://h.test/app/x"), ("//h.test/x", "//h.test/app/x"),
        ("http://h.test:8080/x", "http://h.test:8080/x"), ("https://h.test:80/x", "https://h.test:80/x"),
        ("http://other.test/x", "http://other.test/x"), ("//other.test/x", "//other.test/x"),
        ("http://h.test.evil.test/x", "http://h.test.evil.test/x"), ("http://h.test@evil.test/", "http://h.test@evil.test/"),
        ("http://evil.test\\@h.test/", "http://evil.test\\@h.test/"), ("///x", "///x"), ("ftp://h.test/x", "ftp://h.test/x"),
        ("http:/x", "http:/x"),
    ],
)  # fmt: skip
def test_urls(url: str, expected: str) -> None:
    assert APP.of_url(url, HOSTS) == expected


def test_a_prefix_beyond_ascii_is_escaped() -> None:
    prefix = Prefix("/café")
    assert prefix.of_url("/x", HOSTS) == "/caf%C3%A9/x"
    assert prefix.of_url("/caf%C3%A9/x", HOSTS) == "/caf%C3%A9/x"
    assert prefix.of_url("/caf\xc3\xa9/x", HOSTS) == "/caf\xc3\xa9/x"
    assert prefix.of_cookie("a=b; Path=/") == "a=b; Path=/caf%C3%A9"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5; url=/x", "5; url=/app/x"), ("0;URL='/x'", "0;URL='/app/x'"), ('1.5 , url = "/x"', '1.5 , url = "/app/x"'),
        ("5 /x", "5 /app/x"), ("5; /x", "5; /app/x"), ("5", "5"), ("5; url=x", "5; url=x"), ("", ""),
        ("5; url=http://h.test/x", "5; url=http://h.test/app/x"), ("5; url=//other.test/x", "5; url=//other.test/x"),
        ("5; url=/app/x", "5; url=/app/x"), ("/x", "/x"),
    ],
)  # fmt: skip
def test_refresh(value: str, expected: str) -> None:
    assert APP.of_refresh(value, HOSTS) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('</x?page=2>; rel="next"', '</app/x?page=2>; rel="next"'),
        ('</a>; rel=preload, <b>; rel=prev,<http://h.test/c>', '</app/a>; rel=preload, <b>; rel=prev,<http://h.test/app/c>'),
        ('<x>; title="a, </y>; b"', '<x>; title="a, </y>; b"'), ('<x>; title="a\\"</y>"', '<x>; title="a\\"</y>"'),
        ('<x>; title="</y>', '<x>; title="</y>'), ("</x", "</x"), ("/x", "/x"), ("</x>,</y>", "</app/x>,</app/y>"),
        ("<https://cdn.test/x>; rel=preload", "<https://cdn.test/x>; rel=preload"),
    ],
)  # fmt: skip
def test_links(value: str, expected: str) -> None:
    assert APP.of_link(value, HOSTS) == expected


def test_a_quoted_text_without_end_is_read_once() -> None:
    value = '"' + '\\"' * 50_000 + "\\"  # minutes, if each quote were tried as the begin of a text
    assert APP.of_link(value, HOSTS) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a=b; Path=/", "a=b; Path=/app"), ("a=b;path=/x;Secure", "a=b;path=/app/x;Secure"),
        ("a=b; Path=/app", "a=b; Path=/app"), ("a=b; Path=/app/x", "a=b; Path=/app/x"), ("a=b; Path=/apple", "a=b; Path=/app/apple"),
        ("a=b", "a=b"), ("a=b; Path", "a=b; Path"), ("a=b; Path=", "a=b; Path="), ("a=b; Path=x", "a=b; Path=x"),
        ("Path=/; HttpOnly", "Path=/; HttpOnly"), ("a=b; PATH = / ; Secure", "a=b; PATH =/app; Secure"),
        ("__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure"), ("__Secure-a=b; Path=/", "__Secure-a=b; Path=/app"),
        ("a=path=/; Domain=h.test", "a=path=/; Domain=h.test"), ("a=b; Path=/x; Path=/y", "a=b; Path=/app/x; Path=/app/y"),
    ],
)  # fmt: skip
def test_cookies(value: str, expected: str) -> None:
    assert APP.of_cookie(value) == expected


@pytest.mark.parametrize(
    ("host", "scheme", "expected"),
    [
        ("H.test", "http", "h.test"), ("h.test:80", "http", "h.test"), ("h.test:80", "https", "h.test:80"),
        ("h.test:443", "https", "h.test"), ("h.test:443", "", "h.test"), ("h.test:80", "", "h.test"), ("[::1]:80", "http", "[::1]"),
        ("", "http", ""),
    ],
)  # fmt: skip
def test_authorities(host: str, scheme: str, expected: str) -> None:
    assert authority(host, scheme) == expected


@pytest.mark.parametrize(
    ("sent", "rest"),
    [
        ("/app", "/"), ("/app/", "/"), ("/app/x", "/x"), ("/app/caf%c3%A9/%20", "/caf%c3%A9/%20"), ("/%61p%70/x", "/x"),
        ("//app/x//y", "/x//y"), ("/app/a%2Fb", "/a%2Fb"), ("/apple", None), ("/ap", None), ("/app//x", None), ("/app/./x", None),
        ("/app/x/../y", None), ("/x/../app/y", None), ("/app/%2e%2E/app/x", None), ("/app/..;a/x", None), ("/app/\\x", None),
        ("/app%2Fx", None), ("/APP/x", None),
    ],
)  # fmt: skip
def test_the_rest_of_a_path_as_sent(sent: str, rest: str | None) -> None:
    assert APP.strip_raw(sent) == rest


def test_what_a_prefix_covers() -> None:
    assert [APP.covers(path) for path in ("/app", "/app/", "/app/x", "/apple", "/", "/x/app", "*")] == [
        True, True, True, False, False, False, False,
    ]  # fmt: skip


# Any text a backend may send, with the pieces that matter.
PIECES = ("/", "//", "app", "/app", "h.test", "http:", "https:", "?", "#", ";", "url=", "path=", "<", ">", '"', "\\", "..", " ", "=", ",", "5", "x", "__Host-", "%2F", "\xe9")  # fmt: skip
TEXTS = st.lists(
    st.sampled_from(PIECES) | st.text("ab/\\:;,<>\"'= 0\xff", max_size=3), max_size=12
).map("".join)


@given(TEXTS)
def test_correcting_twice_changes_nothing_more(text: str) -> None:
    for once in (
        lambda value: APP.of_url(value, HOSTS),
        lambda value: APP.of_refresh(value, HOSTS),
        lambda value: APP.of_link(value, HOSTS),
        APP.of_cookie,
    ):
        assert once(once(text)) == once(text)  # type: ignore[no-untyped-call]


@given(TEXTS)
@example("//h.test@other.test/")
def test_a_url_keeps_its_site_and_only_gains_the_prefix(text: str) -> None:
    changed = APP.of_url(text, HOSTS)
    if changed == text:
        return
    assert changed.replace("/app/", "/", 1) in (text, text.replace("h.test", "h.test/", 1))
    base = "http://h.test/app/page"
    try:
        before, after = urlsplit(urljoin(base, text)), urlsplit(urljoin(base, changed))
    except ValueError:
        return  # not a URL for this library
    assert after.netloc == before.netloc
    assert after.path.startswith("/app/") or ".." in text


@given(TEXTS)
def test_only_the_urls_of_a_link_change(text: str) -> None:
    changed = APP.of_link(text, HOSTS)
    assert changed.replace("/app", "") == text.replace("/app", "") or "h.test" in text


@given(TEXTS, TEXTS)
def test_only_the_path_of_a_cookie_changes(value: str, path: str) -> None:
    cookie = f"a={value.replace(';', '')}"
    path = path.replace(";", "")
    changed = APP.of_cookie(f"{cookie}; Path={path}; HttpOnly")
    assert changed.startswith(f"{cookie}; Path=")
    assert changed.endswith("; HttpOnly")
    now = changed[len(cookie) + 7 : -10].strip()
    if path.strip().startswith("/"):
        assert now == "/app" or now.startswith("/app")
    else:
        assert now == path.strip()


@given(st.text("aplx/.%2eEfF;\\57c", max_size=14).map(lambda text: f"/app/{text}"))
def test_the_rest_of_a_path_has_no_way_out(path: str) -> None:
    rest = APP.strip_raw(path)
    if rest is not None:
        assert path.endswith(rest)
        assert rest.startswith("/")
        assert not rest.startswith(("//", "/\\"))
        assert ".." not in rest.replace("%2e", ".").replace("%2E", ".").split("/")
