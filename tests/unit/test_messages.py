"""Headers, requests and responses: what plugins hold in their hands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingap import BodyFilter, Headers, Request, Response, field


def test_field_is_lower_case_key_and_line() -> None:
    assert field("X-Name", " \tvalue ") == (b"x-name", b"X-Name: value")
    assert field("X", "é")[1] == b"X: \xe9"
    assert field("X", "€")[1] == b"X: " + "€".encode()
    assert field("X", "")[1] == b"X: "
    assert field("X", "a\tb")[1] == b"X: a\tb"


@pytest.mark.parametrize("name", ["", "a b", "a:b", "é", "a\r\nb", "a\n", "(a)", "a\0"])
def test_field_refuses_names_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match="is not a header name"):
        field(name, "x")


@pytest.mark.parametrize("value", ["a\r\nb", "a\n", "a\r", "\0", "\x1b", "\x7f", "€\n"])
def test_field_refuses_control_characters(value: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        field("X", value)


@given(st.text())
def test_field_never_breaks_a_line(text: str) -> None:
    try:
        _, _, value = field("X", text)
    except (ValueError, UnicodeEncodeError):
        return
    assert not set(value) & set(b"\r\n\0")


def test_headers_compare_names_without_case() -> None:
    headers = Headers({"Content-Type": "a", "X-A": "1"})
    headers.add("x-a", "2")
    assert headers.get("CONTENT-TYPE") == "a"
    assert headers.get("x-none") is None
    assert headers.get("x-none", "d") == "d"
    assert headers.get_all("X-a") == ["1", "2"]
    assert headers["x-A"] == headers.get("X-a") == "1, 2"
    assert "X-a" in headers
    assert "none" not in headers
    assert 3 not in headers
    assert len(headers) == 3
    with pytest.raises(KeyError, match="none"):
        headers["none"]


def test_headers_set_replaces_every_field_of_the_name() -> None:
    headers = Headers([field("A", "1"), field("b", "2"), field("a", "3")])
    headers.set("A", "4")
    assert headers.items() == [("b", "2"), ("A", "4")]
    headers["B"] = "5"
    assert list(headers) == [("A", "4"), ("B", "5")]
    headers.set("new", "6")
    assert headers.get("new") == "6"


def test_headers_add_default_remove_append_replace() -> None:
    headers = Headers()
    headers.set_default("A", "1")
    headers.set_default("a", "2")
    assert headers.items() == [("A", "1")]
    headers.append(field("a", "3"))
    headers.replace(field("B", "4"))
    assert headers.items() == [("A", "1"), ("a", "3"), ("B", "4")]
    headers.remove("A")
    assert headers.items() == [("B", "4")]
    headers.remove("none")
    headers.replace(field("b", "5"))
    assert headers.items() == [("b", "5")]


@pytest.mark.parametrize("change", ["set", "add", "set_default"])
def test_headers_refuse_what_field_refuses(change: str) -> None:
    headers = Headers({"A": "1"})
    with pytest.raises(ValueError, match="control"):
        getattr(headers, change)("B", "x\r\nEvil: 1")
    with pytest.raises(ValueError, match="control"):
        Headers({"B": "x\ny"})
    assert headers.items() == [("A", "1")]


def test_headers_copy_is_independent_and_equal() -> None:
    headers = Headers({"A": "1"})
    copy = headers.copy()
    assert copy == headers
    copy.add("B", "2")
    assert headers.items() == [("A", "1")]
    assert copy != headers
    assert headers != [("A", "1")]
    assert repr(headers) == "Headers([('A', '1')])"
    with pytest.raises(TypeError):
        hash(headers)


def test_request_splits_its_target() -> None:
    request = Request("GET", "/a/b?c=d?e&f", Headers())
    assert (request.path, request.query) == ("/a/b", "c=d?e&f")
    assert not request.has_body
    request.content_length = 1
    assert request.has_body
    assert repr(Request("GET", "/x", Headers(), "h")) == "<Request GET h/x>"


def test_request_rewrite() -> None:
    request = Request("GET", "/a?b=c", Headers())
    request.rewrite("/x")
    assert (request.target, request.path, request.query) == ("/x?b=c", "/x", "b=c")
    request.rewrite("/y", "")
    assert (request.target, request.query) == ("/y", "")
    request.rewrite("/z", "q=1")
    assert request.target == "/z?q=1"
    request.rewrite("/é%20", "q=\xe9")
    assert (request.path, request.target) == ("/é%20", "/%C3%A9%20?q=\xe9")
    assert Request("GET", "/%61\xc3\xa9?q", Headers()).raw_path == "/%61%C3%A9"


@pytest.mark.parametrize(
    ("path", "query"),
    [("x", None), ("", None), ("/a b", None), ("/a\r\nb", None), ("/a", "€"), ("/a", "b c"),
     ("/a#b", None), ("/a", "b#c"), ("/a", "\n"), ("http://x/", None), ("/\x7f", None)],
)  # fmt: skip
def test_request_rewrite_refuses_what_is_no_target(path: str, query: str | None) -> None:
    request = Request("GET", "/old?q", Headers())
    with pytest.raises(ValueError, match="is not a request target"):
        request.rewrite(path, query)
    assert (request.target, request.path) == ("/old?q", "/old")


def test_request_rewrite_that_is_refused_changes_nothing() -> None:
    request = Request("GET", "/old?q", Headers())
    with pytest.raises(ValueError, match="is not a request target"):
        request.rewrite("/a", "b c")
    assert request.query == "q"


def test_request_rewrite_refuses_a_query_in_the_path() -> None:
    with pytest.raises(ValueError, match="is not a request target"):
        Request("GET", "/old?q", Headers()).rewrite("/a?b")


def test_request_cookie() -> None:
    headers = Headers({"Cookie": "a=1; b=x=y;c ; empty=; a=2"})
    request = Request("GET", "/", headers)
    expected = {"a": "1", "b": "x=y", "c": "", "empty": "", "none": None, "A": None}
    assert {name: request.cookie(name) for name in expected} == expected
    assert Request("GET", "/", Headers()).cookie("a") is None


def test_request_query_value() -> None:
    request = Request("GET", "/?a=1&b&c=&a=2&d=%20+&=v", Headers())
    expected = {"a": "1", "b": "", "c": "", "d": "%20+", "none": None, "": "v"}
    assert {name: request.query_value(name) for name in expected} == expected
    assert Request("GET", "/", Headers()).query_value("") is None
    assert request.header("none") is None


def test_response_constructors() -> None:
    plain = Response(204)
    assert (plain.status, plain.body, plain.content_length) == (204, b"", 0)
    assert plain.headers.items() == [("Cache-Control", "private, no-cache")]
    text = Response.text(418, "ä")
    assert (text.status, text.body, text.content_length) == (418, "ä".encode(), 2)
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    data = Response.json({"a": [1]}, 201)
    assert (data.status, data.body) == (201, b'{"a": [1]}')
    assert data.headers["content-type"] == "application/json; charset=utf-8"
    own = Response(200, b"x", {"Cache-Control": "max-age=1", "X-A": "b"})
    assert own.headers.items() == [("Cache-Control", "max-age=1"), ("X-A", "b")]
    assert repr(own) == "<Response 200>"
    assert not own.upstream


def test_response_bodies_of_unknown_length() -> None:
    async def stream() -> object:
        yield b""

    assert Response(200, stream()).content_length is None  # type: ignore[arg-type]


def test_response_of_an_upstream_gets_no_cache_control() -> None:
    response = Response.from_upstream(200, b"Fine", Headers(), None)
    assert (response.reason, response.upstream, len(response.headers)) == (b"Fine", True, 0)


def test_fields_as_pairs_of_text_are_refused_with_a_hint() -> None:
    with pytest.raises(TypeError, match="pass names and values as a dict"):
        Response(200, headers=Headers([("X", "a")]))  # type: ignore[list-item]


def test_response_leaves_the_headers_it_was_given() -> None:
    headers = Headers({"X-A": "b"})
    Response(200, b"", headers)
    assert headers.items() == [("X-A", "b")]


def test_body_filter_passes_everything() -> None:
    assert BodyFilter().feed(b"x") == b"x"
    assert BodyFilter().end(Headers()) == b""
