"""Header fields: which responses are changed, and what their heads say then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_image_optim.heads import (
    become_other,
    forbids_change,
    is_changeable,
    is_own,
    original_tags,
    own_tag,
    vary_by_accept,
)

from pingap import Headers, Response

FP = "0123456789"


@pytest.mark.parametrize(
    ("status", "headers", "changeable"),
    [
        (200, {"Content-Type": "image/jpeg"}, True),
        (200, {"Content-Type": "image/PNG; x=y"}, True),
        (200, {"Content-Type": "image/png", "Content-Encoding": "identity"}, True),
        (200, {"Content-Type": "image/png", "Content-Disposition": "inline"}, True),
        (200, {}, False),
        (200, {"Content-Type": "image/gif"}, False),
        (200, {"Content-Type": "image/webp"}, False),
        (200, {"Content-Type": "text/html"}, False),
        (206, {"Content-Type": "image/jpeg"}, False),
        (404, {"Content-Type": "image/jpeg"}, False),
        (200, {"Content-Type": "image/png", "Content-Encoding": "gzip"}, False),
        (200, {"Content-Type": "image/png", "Cache-Control": "public, No-Transform"}, False),
        (
            200,
            {"Content-Type": "image/png", "Content-Disposition": "Attachment; filename=a"},
            False,
        ),
    ],
)
def test_what_may_be_changed(status: int, headers: dict[str, str], changeable: bool) -> None:
    assert is_changeable(Response(status, b"", headers)) is changeable


def test_what_forbids_it() -> None:
    assert forbids_change(Headers({"Cache-Control": "no-transform"}))
    assert not forbids_change(Headers({"Cache-Control": "no-cache"}))
    assert not forbids_change(Headers())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "Accept"),
        ("", "Accept"),
        ("Origin", "Origin, Accept"),
        ("Origin, accept", "Origin, accept"),
        ("*", "*"),
    ],
)
def test_vary(before: str | None, after: str) -> None:
    headers = Headers() if before is None else Headers({"Vary": before})
    vary_by_accept(headers)
    assert headers.get("vary") == after


def test_the_head_of_another_image() -> None:
    headers = Headers(
        {
            "Content-Type": "image/png",
            "ETag": '"abc"',
            "Accept-Ranges": "bytes",
            "Content-MD5": "x",
            "Repr-Digest": "x",
            "Last-Modified": "Mon, 30 Nov 2026 00:00:00 GMT",
        }
    )
    become_other(headers, "avif", FP)
    assert dict(headers.items()) == {
        "Content-Type": "image/avif",
        "ETag": f'W/"abc-s{FP}"',
        "Last-Modified": "Mon, 30 Nov 2026 00:00:00 GMT",
    }


@pytest.mark.parametrize("tag", ["abc", '"a', "", '"a" "b"', 'w/"a"', '"\x01"'])
def test_a_malformed_tag_goes(tag: str) -> None:
    assert own_tag(tag, FP) == ""


OPAQUE = st.text(alphabet=st.characters(min_codepoint=0x23, max_codepoint=0x7E))
TAG = st.builds('{}"{}"'.format, st.sampled_from(("", "W/")), OPAQUE)


@given(TAG)
def test_our_tag_leads_back_to_that_of_the_original(tag: str) -> None:
    own = own_tag(tag, FP)
    assert is_own(own, FP)
    assert not is_own(own, "9876543210")
    assert original_tags(own, FP) == (tag, {tag: own})


@given(st.lists(TAG, max_size=4))
def test_other_tags_stay(tags: list[str]) -> None:
    text = ", ".join(tags)
    assert original_tags(text, FP) == (text, {})
    assert original_tags("*", FP) == ("*", {})


def test_several_tags() -> None:
    value = f'"x", W/"abc-s{FP}", W/"abc-s9876543210"'
    assert original_tags(value, FP) == (
        '"x", "abc", W/"abc-s9876543210"',
        {'"abc"': f'W/"abc-s{FP}"'},
    )
