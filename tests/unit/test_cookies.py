"""Cookies: what is sent by clients, and what makes them keep one."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta, timezone
from http.cookies import SimpleCookie
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingap import Cookie, Headers, MultiDict, Request
from pingap.http.cookies import LONGEST_COOKIE

VALUE_CHARACTERS = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '",;\\')


def line(field: tuple[bytes, bytes]) -> str:
    name, _, value = field[1].decode().partition(": ")
    assert (field[0], name) == (b"set-cookie", "Set-Cookie")
    return value


def request_with(cookie: str) -> Request:
    return Request("GET", "/", Headers({"Cookie": cookie}))


# Set-Cookie.


def test_cookie_is_closed_by_default() -> None:
    assert line(Cookie("a").set("b")) == "a=b; Path=/; Secure; HttpOnly; SameSite=Lax"


def test_cookie_has_every_attribute() -> None:
    cookie = Cookie(
        "a",
        path="/shop",
        domain="shop.example",
        max_age=90.5,
        same_site="None",
        http_only=False,
        partitioned=True,
    )
    assert line(cookie.set("")) == (
        "a=; Max-Age=90; Path=/shop; Domain=shop.example; Secure; SameSite=None; Partitioned"
    )
    assert line(Cookie("a", secure=False, same_site="Strict").set("b")) == (
        "a=b; Path=/; HttpOnly; SameSite=Strict"
    )


def test_cookie_expires_at_a_time_of_any_zone() -> None:
    at = datetime(2031, 5, 1, 14, 30, tzinfo=timezone(timedelta(hours=2)))
    sent = line(Cookie("a", max_age=5).set("b", expires=at))
    assert sent == (
        "a=b; Expires=Thu, 01 May 2031 12:30:00 GMT; Path=/; Secure; HttpOnly; SameSite=Lax"
    )
    assert line(Cookie("a").set("b", expires=at.astimezone(UTC))) == sent
    with pytest.raises(ValueError, match="needs a zone"):
        Cookie("a").set("b", expires=datetime(2031, 5, 1))


def test_cookie_is_deleted_where_it_was_set() -> None:
    cookie = Cookie("__Secure-a", path="/shop", domain="shop.example", max_age=60)
    sent = line(cookie.delete())
    attributes = line(cookie.set("b")).partition("; Max-Age=60")[2]
    assert sent == (f"__Secure-a=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT{attributes}")


@pytest.mark.parametrize(
    "name", ["", "a b", "a=b", "a;b", "a\r\nb", "a\n", "\0", "é", "a,b", '"a"', "a/b", "\u0661"]
)
def test_cookie_refuses_names_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a cookie"):
        Cookie(name)


@pytest.mark.parametrize(
    "value",
    ["a b", "a;b", "a,b", "a\\b", 'a"b', '"', '"a', 'a"', '"""', "a\r\nSet-Cookie: b=c", "a\n", "\0",
     "\x7f", "é", "a; Domain=evil.example", " ", "\t", "\udcff", "\u2028"],
)  # fmt: skip
def test_cookie_refuses_values_that_need_encoding(value: str) -> None:
    with pytest.raises(ValueError, match="has a character that must be encoded"):
        Cookie("a").set(value)


def test_cookie_does_not_show_the_value_that_it_refuses() -> None:
    with pytest.raises(ValueError, match="cookie a") as caught:
        Cookie("a").set("secret value")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", ["", "a", VALUE_CHARACTERS, '""', '"a"', "a=b=="])
def test_cookie_takes_every_value_of_the_grammar(value: str) -> None:
    assert line(Cookie("a").set(value)).startswith(f"a={value}; Path=/")


@given(st.text(), st.text())
def test_cookie_is_refused_or_has_only_our_attributes(name: str, value: str) -> None:
    try:
        cookie = Cookie(name)
        sent = line(cookie.set(value))
    except ValueError:
        return
    first, *attributes = sent.split("; ")
    assert first == f"{name}={value}"
    assert attributes == ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"]
    assert request_with(first).cookie(name) == value


@given(st.text(), st.text())
def test_path_and_domain_are_refused_or_add_no_attribute(path: str, domain: str) -> None:
    for keys in ({"path": path}, {"domain": domain}):
        try:
            sent = line(Cookie("a", **keys).set("b"))  # type: ignore[arg-type]
        except ValueError:
            continue
        assert sent.count(";") == (5 if domain and "domain" in keys else 4)
        assert sent.isascii()
        assert sent.isprintable()


@given(st.text(VALUE_CHARACTERS), st.integers(1, 10**9), st.booleans(), st.booleans())
def test_cookie_is_read_by_python(value: str, age: int, secure: bool, http_only: bool) -> None:
    cookie = Cookie("a", max_age=age, secure=secure, http_only=http_only)
    (morsel,) = SimpleCookie(line(cookie.set(value))).values()
    assert (morsel.key, morsel.value, morsel["max-age"]) == ("a", value, str(age))
    assert (bool(morsel["secure"]), bool(morsel["httponly"])) == (secure, http_only)
    assert (morsel["path"], morsel["domain"], morsel["samesite"]) == ("/", "", "Lax")


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"path": ""}, "expected an escaped path"),
        ({"path": "shop"}, "expected an escaped path"),
        ({"path": "/a;b"}, "expected an escaped path"),
        ({"path": "/a b"}, "expected an escaped path"),
        ({"path": "/é"}, "expected an escaped path"),
        ({"path": "/\n"}, "expected an escaped path"),
        ({"path": "/" * 1025}, "expected an escaped path"),
        ({"domain": ".shop.example"}, "expected a host"),
        ({"domain": "shop.example."}, "expected a host"),
        ({"domain": "shop.example; x"}, "expected a host"),
        ({"domain": "shop.example:80"}, "expected a host"),
        ({"domain": "bücher.example"}, "expected a host"),
        ({"domain": "a\n"}, "expected a host"),
        ({"max_age": 0}, "expected seconds, 1 at least"),
        ({"max_age": 0.5}, "expected seconds, 1 at least"),
        ({"max_age": -1}, "expected seconds, 1 at least"),
        ({"max_age": float("inf")}, "expected seconds, 1 at least"),
        ({"max_age": float("nan")}, "expected seconds, 1 at least"),
        ({"same_site": "lax"}, "expected Strict, Lax or None"),
        ({"same_site": None}, "expected Strict, Lax or None"),
        ({"same_site": "None", "secure": False}, "same_site = None needs secure"),
        ({"partitioned": True, "secure": False}, "partitioned needs secure"),
    ],
)
def test_cookie_refuses_attributes_that_browsers_would(keys: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Cookie("a", **keys)


@pytest.mark.parametrize("name", ["__Host-a", "__host-a", "__HOST-Http-a"])
def test_prefix_host(name: str) -> None:
    assert line(Cookie(name).set("b")).startswith(f"{name}=b; Path=/; Secure")
    for keys in ({"path": "/a"}, {"domain": "shop.example"}):
        with pytest.raises(ValueError, match="__Host- needs the path / and no domain"):
            Cookie(name, **keys)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the prefix __Host- needs secure"):
        Cookie(name, secure=False)


@pytest.mark.parametrize("name", ["__Secure-a", "__secure-a"])
def test_prefix_secure(name: str) -> None:
    assert line(Cookie(name, path="/a", domain="shop.example").set("b"))
    with pytest.raises(ValueError, match="the prefix __Secure- needs secure"):
        Cookie(name, secure=False)


def test_cookie_is_as_long_as_browsers_take_it() -> None:
    cookie = Cookie("name")
    longest = "x" * (LONGEST_COOKIE - len("name"))
    assert cookie.set(longest)
    with pytest.raises(ValueError, match="longer than 4096 bytes"):
        cookie.set(longest + "x")


def test_cookie_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Cookie("a").secure = False  # type: ignore[misc]


# Cookie.


def test_cookies_of_a_request() -> None:
    request = request_with('a=1; b="2 3";c=;; d ; a=4;e=f=g; =h')
    assert request.cookies.items() == [
        ("a", "1"), ("b", '"2 3"'), ("c", ""), ("d", ""), ("a", "4"), ("e", "f=g"),
    ]  # fmt: skip
    assert Request("GET", "/", Headers()).cookies == MultiDict()


def test_cookies_on_several_lines_are_one_list() -> None:
    request = request_with("a=1")
    request.headers.add("Cookie", "b=2")
    assert request.cookies.items() == [("a", "1"), ("b", "2")]
    request.headers.remove("Cookie")
    assert request.cookies == MultiDict()


@given(st.text(st.sampled_from('ab=; "\t,\xa0\x85') | st.characters(max_codepoint=255)))
def test_cookies_are_those_that_cookie_finds(text: str) -> None:
    try:
        request = request_with(text)
    except ValueError:
        return
    cookies = request.cookies
    for name, _ in cookies:
        assert cookies.get(name) == request.cookie(name)
    for name in ("a", "b", "ab", "none"):
        assert cookies.get(name) == request.cookie(name)
