"""Groups of the public suite about what is stored: directives, authorization, headers, methods, partial content."""

from __future__ import annotations

import pytest
from pingap_cache.http.storing import Policy, consider
from simulated_cache import START, URL, Pairs, date, headers
from steps import FRESH, Expected, Step, plain, play, reused

ETAG = ("ETag", '"abcd"')


@pytest.mark.parametrize(
    ("value", "expect"),
    [
        ("private, max-age=3600", "not cached"),
        ("no-store", "not cached"),
        ("No-StOrE, max-age=3600", "not cached"),
        ("max-age=10000, no-store", "not cached"),
        ("max-age=10000, no-cache", "not cached"),
        ("max-age=10000, No-CaChE", "not cached"),
        ("max-age=10000, must-revalidate", "cached"),
        ("max-age=10000, immutable", "cached"),
        ("max-age=10000, pRiVaTe=", "not cached"),
    ],
)
def test_response_directives(value: str, expect: Expected) -> None:
    reused([*plain(value), ("Expires", date(10000)), ("Date", date(0))], expect)


def test_an_older_response_stays_when_a_newer_one_is_not_stored() -> None:
    reload = [("Cache-Control", "no-cache")]
    for said in ("no-store", "no-store, max-age=0"):
        play(
            Step(plain("max-age=10000"), body=b"old"),
            Step(plain(said), "not cached", reload, body=b"new"),
            Step([], "cached"),
        )


@pytest.mark.parametrize("value", ["no-cache", "max-age=10000, no-cache"])
def test_no_cache_is_stored_but_validated(value: str) -> None:
    reused([*plain(value), ETAG], "validated")


def test_must_revalidate_once_it_is_stale() -> None:
    reply = [*plain("max-age=2, must-revalidate"), ETAG]
    play(Step(reply, pause=1), Step(reply, "cached"), Step(reply, "validated"))


@pytest.mark.parametrize("directive", ["no-cache", "private"])
def test_fields_that_a_directive_names_are_not_reused(directive: str) -> None:
    reply = [("A", "1"), ("B", "2"), ("C", "3"), *plain("max-age=3600")]
    seen = reused([*reply, ("Cache-Control", f'{directive}="a"')])
    assert (seen.headers.get("a"), seen.headers.get("b")) == (None, "2")
    seen = reused([*reply, ("Cache-Control", f'{directive}="A, b"')])
    assert [seen.headers.get(name) for name in "abc"] == [None, None, "3"]


@pytest.mark.parametrize(
    ("value", "expect"),
    [
        ("max-age=3600", "not cached"),
        ("max-age=3600, public", "cached"),
        ("max-age=3600, must-revalidate", "cached"),
        ("s-maxage=3600", "cached"),
        ("max-age=3600, proxy-revalidate", "not cached"),
    ],
)
def test_authorization(value: str, expect: Expected) -> None:
    for asked in ([], [("Authorization", "FOO")]):
        play(Step(plain(value), asked=[("Authorization", "FOO")]), Step([], expect, asked))


def test_a_request_with_credentials_may_be_answered_with_what_all_may_have() -> None:
    play(Step(plain("max-age=60")), Step([], "cached", [("Authorization", "FOO")]))


def test_no_store_of_the_request() -> None:
    asked = plain("no-store")
    play(Step(plain("max-age=60"), asked=asked), Step([], "not cached"))
    play(Step(plain("max-age=60")), Step([], "cached", asked))


def test_fields_of_one_connection_are_not_stored() -> None:
    seen = reused([*FRESH, ("Connection", "a, B"), ("A", "1"), ("B", "2"), ("C", "3")])
    assert [seen.headers.get(name) for name in ("connection", "a", "b", "c")] == [
        None,
        None,
        None,
        "3",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "Keep-Alive",
        "Proxy-Authenticate",
        "Proxy-Authentication-Info",
        "Proxy-Authorization",
        "Proxy-Connection",
        "TE",
        "Transfer-Encoding",
        "Upgrade",
        "X-Request-ID",
        "traceparent",
    ],
)
def test_fields_that_are_not_stored(name: str) -> None:
    assert reused([*FRESH, (name, "value")]).headers.get(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "Test-Header", "X-Test-Header", "Content-Foo", "X-Content-Foo", "Content-Encoding", "Content-Length",
        "Content-Location", "Content-MD5", "Content-Range", "Content-Security-Policy", "Content-Type",
        "Clear-Site-Data", "ETag", "Public-Key-Pins", "Set-Cookie", "Set-Cookie2", "X-Frame-Options",
        "X-XSS-Protection", "Strict-Transport-Security", "WWW-Authenticate", "Surrogate-Key",
    ],
)  # fmt: skip
def test_fields_that_are_stored_unchanged(name: str) -> None:
    seen = reused([("Date", date(0)), (name, "some Value"), *plain("max-age=60")])
    assert seen.headers.get_all(name) == ["some Value"]


def test_lines_of_one_field_stay_apart_and_in_order() -> None:
    seen = reused([*FRESH, ("Set-Cookie", "a=1"), ("X", "1"), ("Set-Cookie", "b=2")])
    assert seen.headers.get_all("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize(
    ("pairs", "expect"),
    [
        (plain("max-age=60"), "cached"),
        (plain("s-maxage=60"), "cached"),
        ([("Expires", date(60))], "cached"),
        ([("Last-Modified", date(-86400))], "not cached"),
        ([("Last-Modified", date(-86400)), *plain("public")], "not cached"),
        ([*plain("no-cache"), ETAG], "not cached"),
        ([*plain("max-age=0"), ETAG], "not cached"),
        ([*plain('no-cache="Set-Cookie"'), ETAG, ("Last-Modified", date(-86400))], "cached"),
    ],
)
def test_cookies_are_stored_only_with_a_lifetime_the_origin_named(
    pairs: Pairs, expect: Expected
) -> None:
    reused([("Set-Cookie", "a=b"), ("Date", date(0)), *pairs], expect)


def test_the_operator_may_store_no_cookies() -> None:
    reply = [("Set-Cookie", "a=b"), *plain("max-age=60")]
    play(Step(reply), Step(reply, "not cached"), policy=Policy(set_cookie=False))


def test_cookies_of_requests_do_not_matter() -> None:
    play(Step(FRESH), Step([], "cached", [("Cookie", "a=b")]))


def test_pragma_does_not_matter() -> None:
    play(Step(plain("max-age=60")), Step([], "cached", [("Pragma", "no-cache")]))
    reused([*plain("max-age=60"), ("Pragma", "no-cache")])
    reused([("Last-Modified", date(-10000)), ("Pragma", "no-cache"), ("Date", date(0))])


def test_attachments_are_stored() -> None:
    attachment = ("Content-Disposition", "attachment; filename=example.txt")
    reused([*FRESH, attachment])
    reused([("Last-Modified", date(-100000)), ("Date", date(0)), attachment])


def test_different_queries_are_different_urls() -> None:
    play(
        Step(FRESH, url=URL + "?a=1"),
        Step(FRESH, "not cached", url=URL + "?a=2"),
        Step(FRESH, "cached", url=URL + "?a=1"),
    )


@pytest.mark.parametrize(
    ("pairs", "expect"),
    [
        ([("Expires", date(3600)), ("Date", date(0)), ("Content-Location", "")], "cached"),
        ([*plain("max-age=60"), ("Content-Location", "page")], "cached"),
        ([*plain("max-age=60"), ("Content-Location", URL)], "cached"),
        ([*plain("max-age=60"), ("Content-Location", "/other")], "not cached"),
        ([*plain("max-age=60"), ("Content-Location", "http://[")], "not cached"),
        (plain("max-age=60"), "not cached"),
        ([("Last-Modified", date(-86400)), ("Content-Location", "")], "not cached"),
    ],
)
def test_a_response_to_post_that_says_it_is_what_get_would_give(
    pairs: Pairs, expect: Expected
) -> None:
    play(Step(pairs, method="POST"), Step(FRESH, expect))


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "QUERY"])
def test_responses_to_other_methods_are_not_stored(method: str) -> None:
    play(Step(FRESH, method=method), Step(FRESH, "not cached"))


def test_head_is_answered_from_get() -> None:
    seen = play(Step(FRESH), Step([], "cached", method="HEAD"))[-1]
    assert (seen.status, seen.body, seen.headers.get("content-length")) == (200, b"", "7")


def test_partial_content_is_passed_on_and_not_stored() -> None:
    part = [*plain("max-age=3600"), ("Content-Range", "bytes 4-9/10")]
    asked = [("Range", "bytes=-5")]
    seen = play(Step(part, asked=asked, status=206), Step(FRESH, "not cached"))[0]
    assert seen.origin_asked[0].get("range") == "bytes=-5"


@pytest.mark.parametrize(
    ("asked", "part"),
    [("bytes=0-1", b"01"), ("bytes=1-", b"1234567890"), ("bytes=-1", b"0")],
)
def test_parts_are_cut_from_a_whole(asked: str, part: bytes) -> None:
    reply = [*plain("max-age=3600"), ("A", "1")]
    steps = Step(reply, body=b"01234567890"), Step([], "cached", [("Range", asked)])
    seen = play(*steps)[-1]
    assert (seen.status, seen.body, seen.headers.get("a")) == (206, part, "1")
    assert seen.headers.get("content-length") == str(len(part))


def test_keep_tells_how_long_a_response_is_useful() -> None:
    def keep(*pairs: tuple[str, str]) -> float:
        return consider(
            "GET", URL, headers(), 200, headers(pairs),
            request_time=START, response_time=START, policy=Policy(keep_stale=1000),
        ).keep  # fmt: skip

    assert keep(*plain("max-age=60")) == 1060
    assert keep(*plain("max-age=60"), ("Age", "20")) == 1040
    assert keep(*plain("max-age=60, stale-while-revalidate=30, stale-if-error=5000")) == 5060
    assert keep(*plain("max-age=60, stale-if-error=90, must-revalidate")) == 60
    assert keep(*plain("max-age=60, must-revalidate"), ETAG) == 1060
    assert keep(*plain("no-cache"), ETAG) == 1000
    assert keep(*plain("no-cache, max-age=60")) == 0
    assert keep(*plain("max-age=60"), ("Age", "70")) == 0
    assert keep(*plain("max-age=60, stale-if-error=20"), ("Age", "70")) == 990
    assert keep(*plain("max-age=60"), ("Age", "70"), ETAG) == 990
    assert keep(*plain("max-age=60"), ("Age", "2000"), ETAG) == 0


@pytest.mark.parametrize(
    ("status", "asked"), [(206, "bytes=0-1"), (416, "bytes=100-"), (412, ""), (304, "")]
)
def test_answers_to_a_range_or_a_condition_are_not_stored(status: int, asked: str) -> None:
    """Others would get them in place of the whole."""
    play(
        Step(FRESH, "not cached", [("Range", asked)] if asked else (), status=status, body=b"co"),
        Step(FRESH, "not cached"),
        Step(FRESH, "cached"),
    )
