"""Groups of the public suite about freshness: parsing, Age, Expires, heuristics, status codes."""

from __future__ import annotations

import pytest
from pingap_cache.http.storing import Policy
from simulated_cache import Pairs, Reply, SimulatedCache, date
from steps import FRESH, SOON_STALE, STALE, Expected, Step, plain, play, reused


@pytest.mark.parametrize(
    ("value", "expect"),
    [
        ("max-age=3600", "cached"),
        ("max-age=0", "not cached"),
        ("max-age=2147483647", "cached"),
        ("max-age=2147483648", "cached"),
        ("max-age=2147483649", "cached"),
        ("max-age=99999999999", "cached"),
        ("max-age=-3600", "not cached"),
        ("foobar, max-age=3600", "cached"),
        ("MaX-aGe=3600", "cached"),
        ("s-maxage=3600", "cached"),
        ("max-age=3600, s-maxage=1", "not cached"),
        ("s-maxage=1, max-age=3600", "not cached"),
        ("max-age=1, s-maxage=3600", "cached"),
        ("max-age=003600", "cached"),
        ('max-age="3600"', "cached"),
        ("max-age='3600'", "not cached"),
        ("max-age=a3600", "not cached"),
        ("max-age=3600a", "not cached"),
        ("max-age=3600.0", "not cached"),
        ("max-age=3600.5", "not cached"),
        ("max-age =3600", "not cached"),
        ("max-age= 3600", "not cached"),
        ('extension="max-age=3600", max-age=1', "not cached"),
        ('max-age=1, extension="max-age=3600"', "not cached"),
        ("max-age=1800, max-age=1", "cached"),
        ("max-age=1, max-age=1800", "not cached"),
    ],
)
def test_cache_control(value: str, expect: Expected) -> None:
    reused(plain(value), expect)


def test_nothing_is_reused_without_any_lifetime() -> None:
    reused([], "not cached")
    reused([("Date", date(0))], "not cached")


def test_until_it_is_stale() -> None:
    play(
        Step(SOON_STALE, pause=1.9),
        Step(SOON_STALE, "cached", pause=0.1),
        Step(SOON_STALE, "not cached"),
    )


@pytest.mark.parametrize(
    ("lines", "expect"),
    [
        (["max-age=3600", "s-maxage=1"], "not cached"),
        (["max-age=1800", "max-age=1"], "cached"),
        (["max-age=1", "max-age=1800"], "not cached"),
        (["public", "max-age=60"], "cached"),
        (["max-age=60", "no-store"], "not cached"),
    ],
)
def test_cache_control_on_several_lines(lines: list[str], expect: Expected) -> None:
    reused([("Cache-Control", line) for line in lines], expect)


@pytest.mark.parametrize(
    ("pairs", "expect"),
    [
        ([*plain("max-age=3600"), ("Expires", date(-7200))], "cached"),
        ([*plain("max-age=3600"), ("Expires", "0")], "cached"),
        ([*plain("max-age=0"), ("Expires", date(3600))], "not cached"),
        ([*plain("max-age=x"), ("Expires", date(3600))], "not cached"),
        ([*plain("max-age=0, s-maxage=3600"), ("Expires", date(-10))], "cached"),
        ([("Expires", date(30 * 86400))], "cached"),
        ([("Expires", date(-30 * 86400))], "not cached"),
        ([("Expires", date(0))], "not cached"),
        ([("Expires", "0")], "not cached"),
        ([("Expires", "Thu, 18 Aug 2050 2:01:18 GMT")] * 2, "not cached"),
        ([("Expires", "Thursday, 18-Aug-50 02:01:18 GMT")], "cached"),
        ([("Expires", "Thu Aug 18 02:01:18 2050")], "cached"),
        ([("Expires", "Thu, 18 Aug 2050 02:01:18 UTC")], "not cached"),
    ],
)
def test_expires(pairs: Pairs, expect: Expected) -> None:
    reused([*pairs, ("Date", date(0))], expect)


@pytest.mark.parametrize(
    ("pairs", "expect"),
    [
        ([("Expires", date(300)), ("Date", date(400))], "not cached"),
        ([("Expires", date(400)), ("Date", date(300))], "cached"),  # both clocks fast
        ([("Expires", date(100)), ("Date", "foo")], "cached"),
        ([("Expires", date(100))], "cached"),
        ([("Date", date(-10)), ("Expires", date(10)), ("Age", "25")], "not cached"),
        ([("Date", date(10)), ("Expires", date(20)), ("Age", "15")], "not cached"),
        ([("Date", date(-7200)), *plain("max-age=3600")], "not cached"),
        ([("Date", date(7200)), *plain("max-age=3600")], "cached"),
        ([("Date", "never"), *plain("max-age=3600")], "cached"),
    ],
)
def test_skewed_and_invalid_dates(pairs: Pairs, expect: Expected) -> None:
    reused(pairs, expect)


@pytest.mark.parametrize(
    ("ages", "expect"),
    [
        (["7200"], "not cached"),
        (["abc"], "cached"),
        (["-7200"], "cached"),
        (["7200.0"], "cached"),
        (["2147483647"], "not cached"),
        (["2147483648"], "not cached"),
        (["2147483649"], "not cached"),
        (["99999999999999999999"], "not cached"),
        (["7200, 0"], "not cached"),
        (["0, 7200"], "cached"),
        (["7200", "0"], "not cached"),
        (["0", "7200"], "cached"),
        (["0, 0"], "cached"),
        (["0", "0"], "cached"),
        (["1800", "1800"], "cached"),
        (["7200;foo=bar"], "cached"),
        ([""], "cached"),
    ],
)
def test_age_that_comes_in(ages: list[str], expect: Expected) -> None:
    reused([("Date", date(0)), *plain("max-age=3600"), *(("Age", age) for age in ages)], expect)


@pytest.mark.parametrize("lifetime", [[("Expires", date(30 * 86400))], plain("max-age=600")])
def test_age_that_goes_out(lifetime: Pairs) -> None:
    seen = reused([*lifetime, ("Date", date(0)), ("Age", "30")])
    assert seen.headers.get_all("age") == ["33"]
    assert seen.headers.get("date") == date(0)
    assert reused([*lifetime, ("Date", date(0))]).headers.get("age") == "3"


@pytest.mark.parametrize("status", [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501])
def test_status_codes_with_heuristic_freshness(status: int) -> None:
    reused([("Last-Modified", date(-86400)), ("Date", date(0))], status=status)


@pytest.mark.parametrize(
    "status", [201, 202, 302, 303, 307, 400, 403, 429, 500, 502, 503, 504, 599]
)
def test_status_codes_without_heuristic_freshness(status: int) -> None:
    pairs = [("Last-Modified", date(-86400)), ("Date", date(0))]
    reused(pairs, "not cached", status=status)
    reused([*pairs, *plain("public")], status=status)


@pytest.mark.parametrize(
    ("modified", "pause", "expect"),
    [
        (-10, 0.9, "cached"),
        (-10, 1.1, "validated"),
        (-86400, 8600, "cached"),
        (-86400, 8700, "validated"),
        (-(10**9), 86300, "cached"),
        (-(10**9), 86500, "validated"),
        (10, 0.0, "validated"),
    ],
)
def test_a_tenth_of_the_time_since_the_last_change_and_a_day_at_most(
    modified: int, pause: float, expect: Expected
) -> None:
    pairs = [("Last-Modified", date(modified)), ("Date", date(0))]
    play(Step(pairs, pause=pause), Step(pairs, expect))


def test_heuristics_as_the_operator_wants_them() -> None:
    pairs = [("Last-Modified", date(-1000)), ("Date", date(0))]
    play(Step(pairs, pause=400), Step(pairs, "cached"), policy=Policy(heuristic_fraction=0.5))
    play(Step(pairs), Step(pairs, "validated"), policy=Policy(heuristic_fraction=0))
    play(Step(pairs, pause=20), Step(pairs, "validated"), policy=Policy(heuristic_most=10))


@pytest.mark.parametrize(
    "status",
    [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599],
)
def test_every_status_code_with_explicit_freshness(status: int) -> None:
    seen = reused(FRESH, status=status)
    assert seen.status == status
    reused(STALE, "validated" if status < 300 else "not cached", status=status)


@pytest.mark.parametrize("status", [100, 103, 206, 304])
def test_status_codes_that_are_never_stored(status: int) -> None:
    reused(FRESH, "not cached", status=status)


def test_must_understand() -> None:
    said = plain("max-age=3600, no-store, must-understand")
    reused(said)
    reused(said, "not cached", status=599)
    reused(plain("max-age=3600, must-understand"), "not cached", status=599)


def test_delay_of_the_response_makes_it_older() -> None:
    cache = SimulatedCache(lambda method, url, asked: Reply(plain("max-age=10"), delay=6))
    cache.ask()
    assert cache.ask().headers.get("age") == "6"
    cache.now += 3.9
    assert cache.ask().from_cache
    cache.now += 0.1
    assert not cache.ask().from_cache


def test_the_operator_bounds_every_lifetime() -> None:
    for reply in (plain("max-age=3600"), plain("s-maxage=3600"), [("Expires", date(3600))]):
        play(
            Step(reply, pause=5),
            Step(reply, "cached", pause=6),
            Step(reply, "not cached"),
            policy=Policy(max_ttl=10),
        )


def test_the_operator_may_want_cache_control() -> None:
    policy = Policy(needs_cache_control=True)
    play(Step([("Expires", date(60))]), Step([], "not cached"), policy=policy)
    play(Step(plain("max-age=60")), Step([], "cached"), policy=policy)
    play(Step([("CDN-Cache-Control", "max-age=60")]), Step([], "cached"), policy=policy)


@pytest.mark.parametrize(
    ("targeted", "pairs", "expect"),
    [
        ("max-age=3600", [], "cached"),
        ("max-age=2147483648", [], "cached"),
        ("max-age=99999999999", [], "cached"),
        ("max-age=3600", [("Age", "7200")], "not cached"),
        ("max-age =100", plain("max-age=1"), "not cached"),
        ("max-age= 100", plain("max-age=1"), "not cached"),
        ("max-age=0", [], "not cached"),
        ("foobar, max-age=3600", [], "cached"),
        ("MaX-aGe=3600", [], "not cached"),
        ("max-age=3600", [("Expires", date(-10000))], "cached"),
        ("max-age=3600", [("Expires", "0")], "cached"),
        ("max-age=0", [("Expires", date(10000))], "not cached"),
        ("foobar", [("Expires", date(10000))], "not cached"),
        ("max-age=3600", plain("max-age=1"), "cached"),
        ("max-age=1", plain("max-age=3600"), "not cached"),
        ("private", [*plain("max-age=3600"), ("Expires", date(10000))], "not cached"),
        ("no-cache", [*plain("max-age=3600"), ("Expires", date(10000))], "not cached"),
        ("no-store", [*plain("max-age=3600"), ("Expires", date(10000))], "not cached"),
        ("max-age=10000", plain("no-store"), "cached"),
        ("max-age=10000, &&&&&", plain("no-store"), "not cached"),
        ('max-age="10000"', plain("no-store"), "not cached"),
    ],
)
def test_cdn_cache_control(targeted: str, pairs: Pairs, expect: Expected) -> None:
    reused([("Date", date(0)), ("CDN-Cache-Control", targeted), *pairs], expect)


@pytest.mark.parametrize(
    ("surrogate", "pairs", "expect"),
    [
        ("max-age=3600", [], "cached"),
        ("max-age =100", plain("max-age=1"), "not cached"),
        ("max-age=0", [("Expires", date(10000))], "not cached"),
        ("MaX-aGe=3600", [("Expires", "0")], "cached"),
        ("max-age=3600", plain("max-age=1"), "cached"),
        ("max-age=1", plain("max-age=3600"), "not cached"),
        ("max-age=3600", [("Age", "12000")], "not cached"),
        ("no-store", plain("max-age=3600"), "not cached"),
    ],
)
def test_surrogate_control_if_the_operator_wants_it(
    surrogate: str, pairs: Pairs, expect: Expected
) -> None:
    reply = [("Surrogate-Control", surrogate), *pairs]
    policy = Policy(targets=(b"surrogate-control", b"cdn-cache-control"))
    play(Step(reply), Step(reply, expect), policy=policy)
