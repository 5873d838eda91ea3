"""``Response.redirect`` and ``Response.html``."""

from __future__ import annotations

import re
from urllib.parse import quote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingap import Headers, Response, field

HOSTILE = st.text(st.sampled_from("/\\.:@?#%a\t\r\n \0\x85\xa0é") | st.characters())


def location(text: str, *, external: bool = False) -> str:
    return Response.redirect(text, external=external).headers["Location"]


def where_a_browser_goes(text: str) -> str:
    """Return the host; browsers drop white space and take a backslash for a slash (WHATWG URL, 4.4)."""
    text = re.sub(r"[\t\r\n]", "", text.strip("".join(map(chr, range(33))))).replace("\\", "/")
    return urlsplit(urljoin("https://here.example/a/b", text)).netloc


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect(status: int) -> None:
    response = Response.redirect("/new", status)
    assert (response.status, response.body) == (status, b"")
    assert sorted(response.headers) == [
        ("Cache-Control", "private, no-cache"),
        ("Location", "/new"),
    ]


def test_redirect_is_temporary_by_default() -> None:
    assert Response.redirect("/new").status == 302


@pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 309, 404, 0])
def test_redirect_refuses_other_statuses(status: int) -> None:
    with pytest.raises(ValueError, match="is not the status of a redirect"):
        Response.redirect("/", status)


def test_redirect_has_further_fields_and_one_location() -> None:
    given_fields = {"Cache-Control": "max-age=60", "X-A": "b", "location": "//evil.example"}
    for headers in (given_fields, Headers([field(*item) for item in given_fields.items()])):
        response = Response.redirect("/new", headers=headers)
        assert response.headers.get_all("Cache-Control") == ["max-age=60"]
        assert response.headers.get_all("Location") == ["/new"]
        assert response.headers["X-A"] == "b"


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("/", "/"),
        ("/a/b;c?d=e&f=%20/#g", "/a/b;c?d=e&f=%20/#g"),
        ("/é€ x", "/%C3%A9%E2%82%AC%20x"),
        ('/"<>`{|}^', "/%22%3C%3E%60%7B%7C%7D%5E"),
        ("/a\r\nSet-Cookie: b=c", "/a%0D%0ASet-Cookie:%20b=c"),
        ("/a\0\x7f", "/a%00%7F"),
        ("/\\evil.example", "/%5Cevil.example"),
        ("/\t/evil.example", "/%09/evil.example"),
        ("/login?next=//evil.example", "/login?next=//evil.example"),
    ],
)
def test_redirect_escapes_what_cannot_stand_in_a_url(text: str, sent: str) -> None:
    assert location(text) == sent
    assert location(text, external=True) == sent
    assert where_a_browser_goes(sent) == "here.example"


@pytest.mark.parametrize(
    "text",
    ["", "x", "?a", "#a", ".", "../a", " /a", "\n/a", "\\a", "//evil.example", "///evil.example",
     "//evil.example/%2e%2e", "/" * 4, "https://evil.example", "HTTPS://evil.example",
     "https:evil.example", "https:/evil.example", "javascript:alert(1)", "data:text/html,x",
     "/\udcff"],
)  # fmt: skip
def test_redirect_to_another_host_is_never_made_by_accident(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a location to redirect to|surrogates not allowed"):
        Response.redirect(text)


@given(st.sampled_from(["", "/", "//", "/\\", "https://"]), HOSTILE)
def test_redirect_stays_here_whatever_the_client_says(start: str, text: str) -> None:
    try:
        sent = location(start + text)
    except ValueError:
        return
    assert re.fullmatch("[!-~]+", sent)
    assert where_a_browser_goes(sent) == "here.example"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_redirect_to_a_path_of_any_text_is_possible(text: str) -> None:
    assert location("/x" + quote(text)) == "/x" + quote(text)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("https://shop.example", "https://shop.example"),
        ("HTTP://shop.example:8080/é?a#b", "HTTP://shop.example:8080/%C3%A9?a#b"),
        ("http://[2001:db8::1]:80/", "http://[2001:db8::1]:80/"),
        ("https://shop.example?a", "https://shop.example?a"),
        ("https://shop.example/a@b", "https://shop.example/a@b"),
        ("https://shop.example/\r\nX: y", "https://shop.example/%0D%0AX:%20y"),
        ("/new", "/new"),
    ],
)
def test_redirect_to_another_host(text: str, sent: str) -> None:
    assert location(text, external=True) == sent


@pytest.mark.parametrize(
    "rest",
    ["", "/", "@evil.example", ":x@evil.example/", "\\@evil.example", "\t.evil.example",
     " .evil.example", "%2eevil.example", ":", ":x", "\r\n", "é"],
)  # fmt: skip
def test_redirect_refuses_hosts_that_look_like_others(rest: str) -> None:
    good = rest == "" or rest == "/"
    text = f"https://shop.example{rest}"
    if good:
        assert location(text, external=True) == text
        return
    with pytest.raises(ValueError, match="expected a path or an http"):
        location(text, external=True)


@pytest.mark.parametrize(
    "text",
    ["//shop.example", "ftp://shop.example", "javascript:alert(1)", "https://", "https:///a",
     "https:shop.example", "https://bücher.example", " https://shop.example"],
)  # fmt: skip
def test_redirect_refuses_other_urls(text: str) -> None:
    with pytest.raises(ValueError, match="expected a path or an http"):
        location(text, external=True)


def test_redirect_names_what_it_refuses_in_one_short_line() -> None:
    with pytest.raises(ValueError, match="external=True") as caught:
        Response.redirect("//evil\r\n" * 1000)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


def test_html() -> None:
    page = Response.html("<p>é")
    assert (page.status, page.body) == (200, "<p>é".encode())
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Cache-Control"] == "private, no-cache"
    page.headers.set("Cache-Control", "max-age=1")
    other = Response.html("gone", 410)
    assert (other.status, other.headers["Cache-Control"]) == (410, "private, no-cache")
