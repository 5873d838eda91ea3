"""What becomes of heads, and what is done with bodies: decided without a proxy."""

from __future__ import annotations

import pytest
from pingap_compression.media_types import DEFAULT_TYPES
from pingap_compression.plans import Plan, Policy
from pingap_content.media_types import MediaTypes, check_type

from pingap import Headers, Response, accepted_encodings
from pingap.testing import make_request

BOTH = Policy(
    codings=("zstd", "br", "gzip"), types=MediaTypes(DEFAULT_TYPES), min_length=20, decompress=True
)
PLAIN = Policy(codings=("gzip",), types=MediaTypes(DEFAULT_TYPES), min_length=20, decompress=False)


def response(status: int = 200, length: int = 1000, **fields: str) -> Response:
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    headers = {"Content-Type": "text/html", "Cache-Control": "public", **headers}
    return Response(status, b"x" * length, headers)


def apply(
    policy: Policy, answer: Response, coding: str | None = "gzip", **fields: str
) -> Plan | None:
    names = {name.replace("_", "-"): value for name, value in fields.items()}
    return policy.apply(accepted_encodings(coding), make_request(headers=names), answer)


def test_the_head_of_a_compressed_response() -> None:
    answer = response(
        ETag='"a"',
        Vary="Origin",
        Accept_Ranges="bytes",
        Content_MD5="x",
        Digest="sha-256=x",
        Content_Digest="sha-256=:x:",
        Repr_Digest="sha-256=:x:",
        Last_Modified="Mon, 30 Nov 2026 12:00:00 GMT",
    )
    assert apply(PLAIN, answer) == Plan("compress", "gzip")
    assert dict(answer.headers.items()) == {
        "Content-Type": "text/html",
        "Cache-Control": "public",
        "ETag": 'W/"a"',
        "Vary": "Origin, Accept-Encoding",
        "Content-Encoding": "gzip",
        "Last-Modified": "Mon, 30 Nov 2026 12:00:00 GMT",
    }


@pytest.mark.parametrize(
    ("vary", "merged"),
    [
        ("accept-encoding", "accept-encoding"),
        ("Origin, Accept-Encoding", "Origin, Accept-Encoding"),
        ("*", "*"),
        ("", "Accept-Encoding"),
        ("Origin,", "Origin, Accept-Encoding"),
    ],
)
def test_vary_is_merged(vary: str, merged: str) -> None:
    answer = response(Vary=vary)
    apply(PLAIN, answer, None)
    assert answer.headers.get_all("Vary") == [merged]


def test_several_lines_of_vary_become_one() -> None:
    answer = response()
    answer.headers.add("Vary", "Origin")
    answer.headers.add("Vary", "Cookie")
    apply(PLAIN, answer)
    assert answer.headers.get_all("Vary") == ["Origin, Cookie, Accept-Encoding"]


def test_a_weak_etag_stays() -> None:
    answer = response(ETag='W/"a"')
    apply(PLAIN, answer)
    assert answer.headers["ETag"] == 'W/"a"'


@pytest.mark.parametrize("status", [204, 205, 206, 304, 416])
def test_statuses_that_are_never_compressed(status: int) -> None:
    answer = response(status, ETag='"a"') if status != 204 else Response(204)
    assert apply(PLAIN, answer) is None
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize(
    ("fields", "of_request"),
    [
        ({"Content_Encoding": "gzip"}, {}),
        ({"Content_Encoding": "aws-chunked"}, {}),
        ({"Content_Type": "image/png"}, {}),
        ({"Content_Type": "application/zip"}, {}),
        ({"Content_Type": "font/woff2"}, {}),
        ({"Cache_Control": "public, No-Transform"}, {}),
        ({}, {"Cache_Control": "no-transform"}),
    ],
)
def test_what_is_left_as_it_is(fields: dict[str, str], of_request: dict[str, str]) -> None:
    answer = response(**fields)
    before = answer.headers.copy()
    assert apply(PLAIN, answer, "gzip", **of_request) is None
    assert answer.headers == before


def test_no_content_type_is_no_text() -> None:
    answer = Response(200, b"x" * 100)
    assert apply(PLAIN, answer) is None


@pytest.mark.parametrize(
    ("length", "accept", "compressed"),
    [
        (19, "gzip", False),
        (20, "gzip", True),
        (19, "gzip, identity;q=0", True),
    ],
)
def test_short_bodies(length: int, accept: str, compressed: bool) -> None:
    answer = response(length=length)
    assert (apply(PLAIN, answer, accept) is not None) is compressed
    assert answer.headers["Vary"] == "Accept-Encoding"


def test_a_part_says_that_the_whole_depends_on_the_coding() -> None:
    answer = response(206, Content_Range="bytes 0-9/100", ETag='"a"', Accept_Ranges="bytes")
    apply(PLAIN, answer)
    assert (answer.headers["Vary"], answer.headers["ETag"]) == ("Accept-Encoding", '"a"')
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("if_none_match", "etag"),
    [
        ('W/"a"', 'W/"a"'),
        ('"a"', '"a"'),
        ('"b", W/"a"', 'W/"a"'),
        ('"b","a"', '"a"'),
        ("*", 'W/"a"'),
    ],
)
def test_304_has_the_tag_that_the_client_has(if_none_match: str, etag: str) -> None:
    answer = Response(304, b"", {"ETag": '"a"'})
    assert apply(PLAIN, answer, "gzip", If_None_Match=if_none_match) is None
    assert (answer.headers["ETag"], answer.headers["Vary"]) == (etag, "Accept-Encoding")


def test_304_of_an_image_is_left_as_it_is() -> None:
    answer = Response(304, b"", {"ETag": '"a"', "Content-Type": "image/png"})
    apply(PLAIN, answer)
    assert (answer.headers["ETag"], "Vary" in answer.headers) == ('"a"', False)


@pytest.mark.parametrize(
    ("coding", "accept", "plan"),
    [
        ("gzip", "br", Plan("decompress", "gzip")),
        ("X-GZIP", None, Plan("decompress", "gzip")),
        ("br", "gzip", Plan("decompress", "br")),
        ("zstd", "gzip;q=1", Plan("decompress", "zstd")),
        ("deflate", "gzip", Plan("decompress", "deflate")),
        ("gzip", "gzip", None),
        ("gzip", "*", None),
        ("gzip", "br, identity;q=0", None),
        ("compress", "gzip", None),
        ("gzip, br", "gzip", None),
    ],
)
def test_codings_that_are_taken_away(coding: str, accept: str | None, plan: Plan | None) -> None:
    answer = response(Content_Encoding=coding, ETag='"a"', Content_Digest="sha-256=:x:")
    assert apply(BOTH, answer, accept) == plan
    if plan is not None:
        assert answer.headers == Headers(
            {
                "Content-Type": "text/html",
                "Cache-Control": "public",
                "Vary": "Accept-Encoding",
                "ETag": 'W/"a"',
            }
        )


@pytest.mark.parametrize(
    ("kind", "inside"),
    [
        ("text/html", True),
        ("TEXT/HTML; charset=utf-8", True),
        (" text/event-stream ", True),
        ("application/json", True),
        ("application/problem+json", True),
        ("application/jsonx", False),
        ("application/grpc", False),
        ("image/svg+xml", True),
        ("video/mp4", False),
        (None, False),
        ("", False),
    ],
)
def test_default_types(kind: str | None, inside: bool) -> None:
    assert (kind in MediaTypes(DEFAULT_TYPES)) is inside


def test_patterns() -> None:
    assert "video/mp4" in MediaTypes(["*/*"])
    assert check_type("Text/*") == "text/*"
    for wrong in ("text", "*/html", "text/html; charset=utf-8", "", "a/b/c"):
        with pytest.raises(ValueError, match="expected a media type"):
            check_type(wrong)


def test_variants_of_a_cache() -> None:
    assert PLAIN.variant(accepted_encodings("br, gzip")) == "gzip"
    assert PLAIN.variant(accepted_encodings("br")) == "identity"
    assert BOTH.variant(accepted_encodings("br")) == "br+br"
    assert BOTH.variant(accepted_encodings("deflate")) == "identity+deflate"
