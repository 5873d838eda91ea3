"""Queries and forms, and the names and values that they become."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cost import cost

from pingap import Headers, HTTPError, MultiDict, Request, parse_form
from pingap.http.forms import MOST_PARAMETERS, parse_query
from pingap.http.plugin_heads import PluginRequest, close_head

FORM = "application/x-www-form-urlencoded"

text = st.text(st.characters(exclude_categories=["Cs"]))


# The multi-dict.


def test_multi_dict_has_the_first_value_and_all_of_them() -> None:
    found = MultiDict([("a", "1"), ("b", ""), ("a", "2")])
    assert (found.get("a"), found["a"], found.get_all("a")) == ("1", "1", ["1", "2"])
    assert (found.get("b", "default"), found["b"]) == ("", "")
    assert found.get("c") is None
    assert (found.get("c", "default"), found.get_all("c")) == ("default", [])
    assert "b" in found
    assert "c" not in found
    assert 3 not in found
    assert list(found) == found.items() == [("a", "1"), ("b", ""), ("a", "2")]
    assert len(found) == 3
    with pytest.raises(KeyError, match="c"):
        found["c"]


def test_multi_dict_cannot_be_changed_by_what_it_returns() -> None:
    found = MultiDict([("a", "1")])
    found.get_all("a").append("2")
    found.get_all("b").append("2")
    found.items().append(("b", "2"))
    assert (found.items(), found.get_all("a")) == ([("a", "1")], ["1"])
    assert "b" not in found
    assert not hasattr(found, "__setitem__")


def test_multi_dict_is_compared_by_its_pairs_in_order() -> None:
    pairs = [("a", "1"), ("b", "2")]
    assert MultiDict(pairs) == MultiDict(iter(pairs))
    assert hash(MultiDict(pairs)) == hash(MultiDict(pairs))
    assert MultiDict(pairs) != MultiDict(reversed(pairs))
    assert MultiDict() != {}
    assert not MultiDict()
    assert repr(MultiDict(pairs)) == "MultiDict([('a', '1'), ('b', '2')])"


# Queries.


def plugin_request(target: str) -> Request:
    """Return a request as the lifecycle hands it to plugins."""
    request = Request("GET", target, Headers())
    request.__class__ = PluginRequest
    return request


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        ("", []),
        ("a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
        ("a&b=&=c&=", [("a", ""), ("b", ""), ("", "c"), ("", "")]),
        ("&&a=1&", [("a", "1")]),
        ("a=b=c", [("a", "b=c")]),
        ("a;b=1", [("a;b", "1")]),
        ("a+b=c+%2B", [("a b", "c +")]),
        ("%61%3D%26=%C3%A9%00%0d", [("a=&", "é\0\r")]),
        ("a=\xc3\xa9%C3\xa9", [("a", "éé")]),  # as sent: bytes in UTF-8
        ("a=\xe9%E9x%C3", [("a", "��x�")]),
        ("a=%&b=%4&c=%zz", [("a", "%"), ("b", "%4"), ("c", "%zz")]),
    ],
)
def test_query_is_decoded(query: str, pairs: list[tuple[str, str]]) -> None:
    assert Request("GET", f"/?{query}", Headers()).query_params.items() == pairs


@given(st.lists(st.tuples(text, text)))
def test_query_survives_encoding(pairs: list[tuple[str, str]]) -> None:
    assert parse_query(urlencode(pairs)).items() == pairs
    assert parse_form(urlencode(pairs).encode(), FORM).items() == pairs


@given(st.text(st.sampled_from("ab=&%+;2F8C3\0é")))
def test_query_is_read_as_python_reads_it(query: str) -> None:
    ascii_only = query.replace("é", "%C3%A9")
    expected = parse_qsl(ascii_only, keep_blank_values=True, errors="replace")
    assert parse_query(query.replace("é", "\xc3\xa9")).items() == expected


@given(st.binary())
def test_form_of_any_bytes_is_read(body: bytes) -> None:
    assert len(parse_form(body, FORM)) == len([piece for piece in body.split(b"&") if piece])


def test_query_is_parsed_once_and_again_when_it_was_rewritten() -> None:
    request = plugin_request("/?a=1")
    first = request.query_params
    assert request.query_params is first
    request.rewrite("/", "a=2")
    assert request.query_params.get("a") == "2"
    request.rewrite("/", "")
    assert request.query_params == MultiDict()


def test_query_can_be_read_when_the_head_was_sent() -> None:
    request = plugin_request("/?a=1")
    close_head(request)
    assert request.query_params["a"] == "1"


# Limits.


@pytest.mark.parametrize("piece", ["a=1", "a", ""])
def test_parameters_are_bounded(piece: str) -> None:
    most = "&".join([piece] * MOST_PARAMETERS)
    assert len(parse_query(most)) == (MOST_PARAMETERS if piece else 0)
    request = Request("GET", f"/?{most}&", Headers())
    with pytest.raises(ValueError, match="More than 1000 parameters") as caught:
        request.query_params  # noqa: B018
    assert isinstance(caught.value, HTTPError)
    assert caught.value.status == 400
    with pytest.raises(HTTPError, match="More than 1000 parameters"):
        parse_form(f"{most}&".encode(), FORM)


def _one_value(size: int) -> None:
    parse_form(b"a=" + b"%C3%A9+x" * size, FORM)


def _one_name(size: int) -> None:
    found = parse_form(b"&".join([b"a=1"] * size), FORM)
    assert len([found.get("a") for _ in range(size)]) == size


def test_reading_takes_linear_time() -> None:
    assert cost(_one_value, 80_000) < 24 * cost(_one_value, 10_000)
    assert cost(_one_name, 1000) < 24 * cost(_one_name, 125)


# Forms.


@pytest.mark.parametrize(
    "content_type",
    [FORM, FORM.upper(), f"{FORM}; charset=utf-8", f"{FORM} ;charset=latin-1", f" {FORM}"],
)
def test_form_is_read_as_utf8(content_type: str) -> None:
    assert parse_form("a=é&b=%E2%82%AC".encode(), content_type) == MultiDict(
        [("a", "é"), ("b", "€")]
    )


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "multipart/form-data; boundary=x", f"{FORM}x", f"{FORM}, {FORM}",
     f"text/plain; {FORM}"],
)  # fmt: skip
def test_form_of_another_media_type_is_refused(content_type: str | None) -> None:
    with pytest.raises(ValueError, match="Expected a form") as caught:
        parse_form(b"a=1", content_type)
    assert isinstance(caught.value, HTTPError)
    assert caught.value.status == 415
