"""Groups of the public suite about serving: wishes of requests, conditions, stale responses, variants, updates."""

from __future__ import annotations

import pytest
from pingap_cache.http.invalidation import invalidated
from pingap_cache.http.serving import Verdict
from pingap_cache.http.storing import Policy
from simulated_cache import URL, Pairs, Reply, SimulatedCache, date, headers
from steps import FRESH, SOON_STALE, Expected, Step, plain, play, reused

from pingap import Headers

ETAG = ("ETag", '"abcdef"')
MODIFIED = ("Last-Modified", date(-3000))
NOW = ("Date", date(0))


@pytest.mark.parametrize(
    ("reply", "asked", "expect"),
    [
        (FRESH, "max-age=0", "validated"),
        (FRESH, "max-age=1", "validated"),
        (FRESH, "max-age=3", "cached"),
        (FRESH, "max-age=x", "cached"),
        ([*plain("max-age=3600"), ("Age", "1800")], "max-age=600", "not cached"),
        (plain("max-age=1"), "max-stale=1000", "cached"),
        (plain("max-age=1"), "max-stale", "cached"),
        (plain("max-age=1"), "max-stale=1", "not cached"),
        (plain("max-age=1"), "max-stale=2", "cached"),
        (
            [*plain("max-age=1500, stale-if-error=9999"), ("Age", "2000")],
            "max-stale=1000",
            "cached",
        ),
        (plain("max-age=1, must-revalidate"), "max-stale", "not cached"),
        (plain("s-maxage=1"), "max-stale", "not cached"),
        (plain("max-age=1, proxy-revalidate"), "max-stale", "not cached"),
        ([*plain("no-cache"), ETAG], "max-stale", "validated"),
        (plain("max-age=1500"), "min-fresh=2000", "not cached"),
        (plain("max-age=1500"), "min-fresh=1497", "cached"),
        (plain("max-age=1500"), "min-fresh=1498", "not cached"),
        ([*plain("max-age=1500"), ("Age", "1000")], "min-fresh=1000", "not cached"),
        (plain("max-age=3600"), "no-cache", "not cached"),
        ([*plain("max-age=3600"), MODIFIED, NOW], "no-cache", "validated"),
        ([*plain("max-age=3600"), ETAG], "no-cache", "validated"),
        (plain("max-age=3600"), "only-if-cached", "cached"),
    ],
)
def test_wishes_of_a_request(reply: Pairs, asked: str, expect: Expected) -> None:
    play(Step(reply), Step(reply, expect, plain(asked)))


@pytest.mark.parametrize(
    "reply", [plain("max-age=1"), plain("no-store"), [*plain("no-cache"), ETAG]]
)
def test_only_if_cached(reply: Pairs) -> None:
    seen = play(Step(reply), Step(reply, None, plain("only-if-cached")))[-1]
    assert (seen.status, seen.origin_asked, seen.verdict) == (504, [], Verdict.UNAVAILABLE)


@pytest.mark.parametrize(
    ("etag", "asked", "status"),
    [
        ('"abcdef"', '"abcdef"', 304),
        ('"abcdef"', 'W/"abcdef"', 304),
        ('W/"abcdef"', 'W/"abcdef"', 304),
        ('W/"abcdef"', '"abcdef"', 304),
        ('"abcdef"', '"abcdef", "1234", "5678"', 304),
        ('"abcdef"', '"1234", "abcdef", "5678"', 304),
        ('"abcdef"', '"1234", "5678", "abcdef"', 304),
        ('"abcdef"', '"1234",,W/"abcdef"', 304),
        ('"a,b"', '"x", "a,b"', 304),
        ('"a"', '"x, "a"', 200),
        ('"abcdef"', "*", 304),
        ('"abcdef"', '"other"', 200),
        ('"abcdef"', '"ABCDEF"', 200),
        ('"abcdef"', "abcdef", 200),
        ("abcdef", "abcdef", 304),
        ("abcdef", '"abcdef"', 200),
        ('w/"abcdef"', 'w/"abcdef"', 304),
        ('"abcdef\u00fc"', '"abcdef\u00fc"', 304),
        ('""', '""', 304),
        ('"abcdef"', "", 200),
    ],
)
def test_if_none_match(etag: str, asked: str, status: int) -> None:
    reply = [*FRESH, ("ETag", etag), ("Content-Type", "text/plain"), ("Content-Length", "7")]
    seen = play(Step(reply), Step([], "cached", [("If-None-Match", asked)]))[-1]
    assert seen.status == status
    assert seen.headers.get("etag") == etag
    if status == 304:
        assert seen.body == b""
        assert seen.headers.get("content-type") is None
        assert seen.headers.get("content-length") is None
        for name in ("cache-control", "date", "expires", "age"):
            assert seen.headers.get(name) is not None


@pytest.mark.parametrize(
    ("reply", "since", "status"),
    [
        ([MODIFIED, NOW], date(-3000), 304),
        ([MODIFIED, NOW], date(-2000), 304),
        ([MODIFIED, NOW], date(-3001), 200),
        ([MODIFIED, NOW], "Friday, 15-Jan-27 07:10:00 GMT", 304),
        ([MODIFIED, NOW], "yesterday", 200),
        ([NOW], date(0), 304),
        ([NOW], date(1), 304),
        ([NOW], date(-1), 200),
        ([], date(0), 304),
        ([], date(-1), 200),
        ([("Last-Modified", "0"), NOW], date(0), 304),
    ],
)
def test_if_modified_since(reply: Pairs, since: str, status: int) -> None:
    steps = (
        Step([*plain("max-age=9999"), *reply]),
        Step([], "cached", [("If-Modified-Since", since)]),
    )
    assert play(*steps)[-1].status == status


def test_if_none_match_counts_more_than_if_modified_since() -> None:
    reply = [*plain("max-age=9999"), ETAG, MODIFIED, NOW]
    for tag, since, status in (('"abcdef"', date(-9999), 304), ('"x"', date(0), 200)):
        asked = [("If-None-Match", tag), ("If-Modified-Since", since)]
        assert play(Step(reply), Step([], "cached", asked))[-1].status == status


def test_conditions_do_not_matter_to_errors() -> None:
    reply = [*FRESH, ETAG]
    steps = Step(reply, status=404), Step([], "cached", [("If-None-Match", '"abcdef"')])
    assert play(*steps)[-1].status == 404


@pytest.mark.parametrize(
    "asked", [[("If-Modified-Since", date(-3000))], [("If-None-Match", '"abcdef"')]]
)
def test_304_for_the_client_after_validation(asked: Pairs) -> None:
    reply = [*plain("max-age=2"), MODIFIED, ETAG, NOW]
    seen = play(Step(reply), Step(reply, "validated", asked))[-1]
    assert (seen.status, seen.body) == (304, b"")


@pytest.mark.parametrize("name", ["If-Match", "If-Unmodified-Since"])
def test_conditions_that_only_the_origin_can_judge(name: str) -> None:
    asked = [(name, '"x"')]
    seen = play(Step(FRESH), Step(FRESH, "not cached", asked))[-1]
    assert seen.origin_asked[0].get(name) == '"x"'


def test_validation_asks_with_both_validators_and_without_those_of_the_client() -> None:
    reply = [*plain("max-age=1"), ETAG, MODIFIED]
    asked = [
        ("If-None-Match", '"x"'), ("If-Modified-Since", date(9)), ("Range", "bytes=0-1"),
        ("If-Range", '"x"'), ("Accept", "a/b"),
    ]  # fmt: skip
    sent = play(Step(reply), Step(reply, "validated", asked))[-1].origin_asked[0]
    assert sent.items() == [
        ("Accept", "a/b"), ("If-None-Match", '"abcdef"'), ("If-Modified-Since", date(-3000)),
    ]  # fmt: skip


def test_validation_of_a_variant_sends_what_chose_it() -> None:
    reply = [*plain("max-age=1"), ETAG, ("Vary", "Abc")]
    asked = [("Abc", "123")]
    sent = play(Step(reply, asked=asked), Step(reply, "validated", asked))[-1].origin_asked[0]
    assert sent.get("abc") == "123"


@pytest.mark.parametrize(
    ("value", "status", "expect"),
    [
        ("max-age=2", 0, "not cached"),
        ("max-age=2", 503, "not cached"),
        ("max-age=2, stale-if-error=60", 0, "cached"),
        ("max-age=2, stale-if-error=60", 503, "cached"),
        ("max-age=2, stale-if-error=60", 500, "cached"),
        ("max-age=2, stale-if-error=60", 501, "not cached"),
        ("max-age=2, stale-if-error=60", 404, "not cached"),
        ("max-age=2, stale-if-error=1", 503, "not cached"),
        ("max-age=2, stale-if-error=60, must-revalidate", 0, "not cached"),
        ("max-age=2, stale-if-error=60, proxy-revalidate", 0, "not cached"),
        ("max-age=2, stale-if-error=60, no-cache", 0, "not cached"),
        ("s-maxage=2, stale-if-error=60", 0, "not cached"),
    ],
)
def test_an_error_of_the_origin(value: str, status: int, expect: Expected) -> None:
    play(Step(plain(value)), Step([], expect, status=status))


def test_the_operator_may_allow_stale_responses_on_errors() -> None:
    policy = Policy(stale_if_error=60)
    play(Step(plain("max-age=2")), Step([], "cached", status=0), policy=policy)
    for directive in ("must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=2"):
        said = plain(f"max-age=2, {directive}")
        play(Step(said), Step([], "not cached", status=0), policy=policy)


def test_a_request_may_allow_stale_responses_on_errors_but_not_with_no_cache() -> None:
    play(Step([*SOON_STALE, ETAG]), Step([], "cached", plain("stale-if-error=60"), status=0))
    said = plain("max-age=2, stale-if-error=60")
    play(Step(said), Step([], "not cached", plain("no-cache"), status=0))
    play(Step(said), Step([], "not cached", plain("max-age=2"), status=0))


def test_stale_while_revalidate() -> None:
    reply = [*plain("max-age=1, stale-while-revalidate=3600"), ETAG]
    seen = play(Step(reply), Step(reply, "cached"))[-1]
    assert seen.verdict is Verdict.STALE_REFRESH
    assert seen.headers.get("age") == "3"
    assert seen.origin_asked[0].get("if-none-match") == '"abcdef"'


def test_what_was_refreshed_in_the_background_is_served_next() -> None:
    said = plain("max-age=1, stale-while-revalidate=3600")
    steps = Step(said, body=b"1"), Step(said, "cached", body=b"2"), Step(said, "cached", body=b"3")
    assert [seen.body for seen in play(*steps)] == [b"1", b"1", b"2"]


@pytest.mark.parametrize(
    "value",
    [
        "max-age=1, stale-while-revalidate=2",
        "max-age=1, stale-while-revalidate=x",
        "max-age=1, stale-while-revalidate",
        "max-age=1, stale-while-revalidate=60, must-revalidate",
        "s-maxage=1, stale-while-revalidate=60",
    ],
)
def test_when_stale_while_revalidate_does_not_hold(value: str) -> None:
    reused([*plain(value), ETAG], "validated")


def test_the_operator_may_let_an_allowance_count_beside_s_maxage() -> None:
    policy = Policy(stale_despite_s_maxage=True, stale_if_error=60)
    said = plain("s-maxage=1, stale-while-revalidate=60")
    play(Step(said), Step(said, "cached"), policy=policy)
    said = plain("s-maxage=1")
    play(Step(said), Step(said, "not cached", status=503), policy=policy)
    said = plain("s-maxage=1, stale-while-revalidate=60, must-revalidate")
    play(Step(said), Step(said, "not cached"), policy=policy)


def vary(reply_vary: str | list[str], first: Pairs, second: Pairs, expect: Expected) -> None:
    lines = [reply_vary] if isinstance(reply_vary, str) else reply_vary
    reply = [*plain("max-age=5000"), *(("Vary", line) for line in lines)]
    play(Step(reply, asked=first), Step(reply, expect, second))


@pytest.mark.parametrize(
    ("names", "first", "second", "expect"),
    [
        ("Foo", [("Foo", "1")], [("Foo", "1")], "cached"),
        ("Foo", [("Foo", "1")], [("fOO", "1")], "cached"),
        ("Foo", [("Foo", "1")], [("Foo", "2")], "not cached"),
        ("Foo", [("Foo", "a")], [("Foo", "A")], "not cached"),
        ("Foo", [], [("Foo", "1")], "not cached"),
        ("Foo", [("Foo", "1")], [], "not cached"),
        ("Foo", [("Foo", "")], [], "not cached"),
        ("Foo", [("Foo", "1"), ("Other", "2")], [("Foo", "1"), ("Other", "3")], "cached"),
        ("Foo, Bar", [("Foo", "1"), ("Bar", "a")], [("Bar", "a"), ("Foo", "1")], "cached"),
        ("Foo, Bar", [("Foo", "1"), ("Bar", "a")], [("Foo", "2"), ("Bar", "a")], "not cached"),
        ("Foo, Bar", [("Foo", "1"), ("Bar", "a")], [], "not cached"),
        ("Foo, Bar", [("Foo", "1"), ("Bar", "2")], [("Foo", "2"), ("Bar", "1")], "not cached"),
        ("Foo, Bar, Baz", [("Foo", "1"), ("Baz", "7")], [("Baz", "7"), ("Foo", "1")], "cached"),
        ("*", [], [], "not cached"),
        ("*, *", [], [], "not cached"),
        (["*", "*"], [], [], "not cached"),
        (", *", [], [], "not cached"),
        (["", "*"], [], [], "not cached"),
        ("*, Foo", [], [], "not cached"),
        ("Foo, *", [], [], "not cached"),
        (["Foo", "*"], [], [], "not cached"),
        ("Foo;*", [], [], "not cached"),
        ("", [], [("Foo", "1")], "cached"),
        ("Foo", [("Foo", "1, 2")], [("Foo", "1"), ("Foo", "2")], "cached"),
        ("Foo", [("Foo", "1,2")], [("Foo", " 1, 2 ")], "cached"),
        ("Foo", [("Foo", "1,2")], [("Foo", "2,1")], "not cached"),
        ("Foo", [("Foo", '"1,2"')], [("Foo", '"1, 2"')], "not cached"),
        ("Accept-Language", [("Accept-Language", "en, de")], [("Accept-Language", "de, en")], "cached"),
        ("Accept-Language", [("Accept-Language", "en, de")], [("Accept-Language", "eN, De")], "cached"),
        ("Accept-Language", [("Accept-Language", "en, de")], [("Accept-Language", " en ,   de")], "cached"),
        ("Accept-Language", [("Accept-Language", "en, de;q=0.5")], [("Accept-Language", "en;q=0.5, de")], "not cached"),
        ("Accept-Encoding", [("Accept-Encoding", "gzip, br")], [("Accept-Encoding", "br;q=1.0, GZIP")], "cached"),
        ("Accept-Encoding", [("Accept-Encoding", "gzip")], [("Accept-Encoding", "br")], "not cached"),
        ("Accept-Encoding", [("Accept-Encoding", "gzip")], [("Accept-Encoding", "gzip;q=0")], "not cached"),
        ("Accept", [("Accept", "text/html, a/b;p=X")], [("Accept", "a/B; p=X,TEXT/html;q=1")], "cached"),
        ("Accept", [("Accept", "a/b;p=X")], [("Accept", "a/b;p=x")], "not cached"),
    ],
)  # fmt: skip
def test_vary(names: str | list[str], first: Pairs, second: Pairs, expect: Expected) -> None:
    vary(names, first, second, expect)


def test_several_variants_side_by_side() -> None:
    reply = [*plain("max-age=5000"), ("Vary", "Foo")]
    steps = (
        Step(reply, "not cached", [("Foo", "1")], body=b"1"),
        Step(reply, "not cached", [("Foo", "2")], body=b"2"),
        Step(reply, "cached", [("Foo", "1")]),
        Step(reply, "cached", [("Foo", "2")]),
    )
    assert [seen.body for seen in play(*steps)] == [b"1", b"2", b"1", b"2"]


def test_more_names_in_vary_put_what_was_stored_out_of_reach() -> None:
    one, two = ([*plain("max-age=5000"), ("Vary", names)] for names in ("Foo", "Foo, Bar"))
    a, b = [("Foo", "1"), ("Bar", "a")], [("Foo", "2"), ("Bar", "b")]
    play(
        Step(one, "not cached", a),
        Step(two, "not cached", b),
        Step(one, "not cached", a),
        Step(two, "cached", b),
        Step(one, "cached", a),
    )


def test_a_response_without_vary_next_to_ones_with_it() -> None:
    varying, other = [*plain("max-age=5000"), ("Vary", "Foo")], plain("max-age=5000")
    a, b = [("Foo", "1")], [("Foo", "2")]
    play(
        Step(varying, "not cached", a), Step(other, "not cached", b),
        Step([], "cached", a), Step([], "cached", b),
    )  # fmt: skip


def test_if_range() -> None:
    reply = [*plain("max-age=9999"), ETAG, MODIFIED, NOW]
    weak = [*plain("max-age=9999"), ("ETag", 'W/"abcdef"'), ("Last-Modified", date(0)), NOW]
    for stored, condition, status in (
        (reply, '"abcdef"', 206),
        (reply, '"x"', 200),
        (reply, 'W/"abcdef"', 200),
        (weak, 'W/"abcdef"', 200),
        (weak, '"abcdef"', 200),
        (reply, date(-3000), 206),
        (reply, date(-2999), 200),
        (weak, date(0), 200),  # may have changed again within this second
        (reply, "abcdef", 200),
    ):
        asked = [("Range", "bytes=0-1"), ("If-Range", condition)]
        assert play(Step(stored), Step([], "cached", asked))[-1].status == status


@pytest.mark.parametrize(
    ("asked", "status", "body", "content_range"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=2-", 206, b"23456789", "bytes 2-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("BYTES=0-0", 206, b"0", "bytes 0-0/10"),
        ("bytes=0-0, 99-", 206, b"0", "bytes 0-0/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=-0", 416, b"", "bytes */10"),
        ("bytes=99999999999999999999999-", 416, b"", "bytes */10"),
        ("bytes=4-2", 200, b"0123456789", None),
        ("bytes=x", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("bytes=", 200, b"0123456789", None),
        ("bytes=0-1,1-2", 200, b"0123456789", None),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(0, 40, 2)), 200, b"0123456789", None),
        ("lines=0-1", 200, b"0123456789", None),
    ],
)
def test_ranges(asked: str, status: int, body: bytes, content_range: str | None) -> None:
    reply = [*FRESH, ("Content-Type", "text/plain")]
    steps = Step(reply, body=b"0123456789"), Step([], "cached", [("Range", asked)])
    seen = play(*steps)[-1]
    assert (seen.status, seen.body) == (status, body)
    assert seen.headers.get("content-range") == content_range
    assert seen.headers.get("content-length") == str(len(body))
    assert (seen.headers.get("cache-control") is None) == (status == 416)


def test_several_ranges() -> None:
    reply = [*FRESH, ("Content-Type", "text/plain")]
    steps = Step(reply, body=b"0123456789"), Step([], "cached", [("Range", "bytes=8-,0-1")])
    seen = play(*steps)[-1]
    assert seen.body == (
        b"--XX\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89"
        b"\r\n--XX\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01"
        b"\r\n--XX--\r\n"
    )
    assert seen.headers.get_all("content-type") == ["multipart/byteranges; boundary=XX"]
    assert seen.headers.get("content-length") == str(len(seen.body))


def test_ranges_matter_neither_to_head_nor_to_other_status_codes() -> None:
    asked = [("Range", "bytes=0-1")]
    assert play(Step(FRESH), Step([], "cached", asked, method="HEAD"))[-1].status == 200
    assert play(Step(FRESH, status=404), Step([], "cached", asked))[-1].status == 404


UPDATED = ["Test-Header", "X-Test-Header", "Content-Foo", "X-Content-Foo", "Content-Location", "Content-MD5",
           "Content-Security-Policy", "Content-Type", "Clear-Site-Data", "X-Frame-Options", "Set-Cookie"]  # fmt: skip


@pytest.mark.parametrize("validator", [ETAG, MODIFIED, ("ETag", 'W/"weak"')])
@pytest.mark.parametrize("name", UPDATED)
def test_a_304_updates_fields(name: str, validator: tuple[str, str]) -> None:
    common = [*plain("max-age=5"), NOW, validator]
    after = [*common[1:], *plain("max-age=9")]
    seen = play(
        Step([*common, (name, "A")], pause=6),
        Step([*after, (name, "B")], "validated", pause=1),
        Step([], "cached"),
    )
    for answer in seen[1:]:
        assert answer.headers.get_all(name) == ["B"]
        assert answer.headers.get_all("cache-control") == ["max-age=9"]
        assert answer.body == b"content"


@pytest.mark.parametrize("name", ["Content-Length", "Content-Encoding", "Content-Range"])
def test_a_304_does_not_update_what_the_body_depends_on(name: str) -> None:
    common = [*plain("max-age=5"), ETAG]
    seen = play(
        Step([*common, (name, "7")], pause=6),
        Step([*common, (name, "8")], "validated"),
        Step([], "cached"),
    )
    assert [answer.headers.get_all(name) for answer in seen] == [["7"], ["7"], ["7"]]


def test_fields_that_a_304_leaves_out_stay_and_hop_by_hop_ones_are_not_added() -> None:
    seen = play(
        Step([*plain("max-age=1"), ETAG, ("A", "1")]),
        Step([ETAG, ("Connection", "x"), ("X", "1"), ("Keep-Alive", "1")], "validated"),
    )[-1]
    assert seen.headers.get("a") == "1"
    assert seen.headers.get("x") is None
    assert seen.headers.get("keep-alive") is None
    assert seen.headers.get("date") == date(3)  # of the 304, which had none


def test_a_304_starts_a_new_life() -> None:
    reply = [*plain("max-age=10"), ETAG, ("Date", date(0))]
    later = [*plain("max-age=10"), ETAG, ("Date", date(20)), ("Age", "4")]
    seen = play(
        Step(reply, pause=20),
        Step(later, "validated", pause=5),
        Step(later, "cached", pause=1),
        Step(later, "validated"),
    )
    assert [answer.headers.get("age") for answer in seen[1:3]] == ["4", "9"]


def test_a_304_that_forbids_storing_is_the_end_of_what_was_stored() -> None:
    reply = [*plain("max-age=1"), ETAG]
    seen = play(
        Step(reply), Step([*plain("no-store"), ETAG], "validated"), Step(reply, "not cached")
    )
    assert seen[1].status == 200


@pytest.mark.parametrize(
    "validators",
    [[("ETag", '"other"')], [("ETag", 'W/"other"')], [("Last-Modified", date(-9))]],
)
def test_a_304_about_another_response_is_not_used(validators: Pairs) -> None:
    def origin(method: str, url: str, asked: Headers) -> Reply:
        if b"if-none-match" in asked.keys:
            return Reply([*plain("max-age=9"), *validators], 304, b"")
        return Reply([*plain("max-age=1"), ETAG, MODIFIED], body=b"whole")

    cache = SimulatedCache(origin)
    cache.ask()
    cache.now += 3
    seen = cache.ask()
    assert (seen.status, seen.body, len(seen.origin_asked)) == (200, b"whole", 2)
    assert b"if-none-match" not in seen.origin_asked[1].keys


@pytest.mark.parametrize("validators", [[], [("ETag", 'W/"abcdef"')], [MODIFIED]])
def test_a_304_with_fewer_validators_is_about_what_was_asked(validators: Pairs) -> None:
    def origin(method: str, url: str, asked: Headers) -> Reply:
        if b"if-none-match" in asked.keys:
            return Reply([*plain("max-age=9"), *validators], 304, b"")
        return Reply([*plain("max-age=1"), ETAG, MODIFIED])

    cache = SimulatedCache(origin)
    cache.ask()
    cache.now += 3
    assert cache.ask().validated
    assert cache.ask().from_cache


def test_head_of_a_stale_response_goes_to_the_origin_and_updates_it() -> None:
    seen = play(
        Step(SOON_STALE),
        Step([*plain("max-age=1000"), ("Template-B", "2")], "not cached", method="HEAD"),
        Step([], "cached"),
    )
    assert (seen[1].headers.get("template-a"), seen[1].body) == ("1", b"")
    assert (seen[2].headers.get("template-b"), seen[2].body) == ("2", b"content")


@pytest.mark.parametrize(
    ("pairs", "status"),
    [
        ([("ETag", '"new"')], 200),
        ([("Last-Modified", date(-9))], 200),
        ([("Content-Length", "99")], 200),
        ([ETAG], 410),
    ],
)
def test_head_that_tells_of_another_representation_makes_the_stored_one_stale(
    pairs: Pairs, status: int
) -> None:
    reply = [*plain("max-age=100"), ETAG, MODIFIED]
    reload = plain("no-cache")
    play(
        Step(reply),
        Step([*plain("max-age=100"), *pairs], "validated", reload, method="HEAD", status=status),
        Step(reply, "validated"),
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "UNHEARD-OF"])
@pytest.mark.parametrize(
    ("status", "expect"),
    [(200, "not cached"), (201, "not cached"), (303, "not cached"), (400, "cached"), (500, "cached"), (0, "cached")],
)  # fmt: skip
def test_unsafe_methods_invalidate(method: str, status: int, expect: Expected) -> None:
    play(Step(FRESH), Step([], method=method, status=status), Step(FRESH, expect))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND"])
def test_safe_methods_do_not(method: str) -> None:
    play(Step(FRESH), Step([], method=method), Step([], "cached"))


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
@pytest.mark.parametrize(
    ("value", "expect"),
    [
        ("/other", "not cached"),
        ("other", "not cached"),
        ("http://example.org/other", "not cached"),
        ("//example.org/other", "not cached"),
        ("https://example.org/other", "cached"),
        ("http://example.org:8080/other", "cached"),
        ("http://example.com/other", "cached"),
        ("http://[/other", "cached"),
        ("http://example.org:x/other", "cached"),
    ],
)
def test_unsafe_methods_invalidate_what_they_name(name: str, value: str, expect: Expected) -> None:
    other = "http://example.org/other"
    steps = (
        Step(FRESH, url=other),
        Step([(name, value)], method="POST"),
        Step(FRESH, expect, url=other),
    )
    play(*steps)


def test_an_origin_is_compared_without_case_and_with_its_default_port() -> None:
    fields = headers([("Location", "HTTP://Example.ORG:80/other#part")])
    assert invalidated("POST", URL, 200, fields) == [URL, "http://example.org/other"]
