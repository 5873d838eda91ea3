"""``Cache-Status``, read back with a parser of structured fields; and what ``why`` says."""

from __future__ import annotations

import http_sf
import pytest
from pingap_cache.http.serving import explain
from pingap_cache.http.status import CacheStatus, add_status
from pingap_cache.http.storing import Policy, consider
from simulated_cache import START, URL, headers


def read(value: str) -> list[tuple[str, dict[str, object]]]:
    members = http_sf.parse(value.encode(), tltype="list")
    assert isinstance(members, list)
    return [(str(name), {key: str(v) if isinstance(v, http_sf.Token) else v for key, v in more.items()})
            for name, more in members]  # type: ignore[misc, union-attr]  # fmt: skip


@pytest.mark.parametrize("name", ["pingap", "my cache", '"', "1st"])
def test_a_hit(name: str) -> None:
    fields = headers()
    add_status(fields, CacheStatus(name).hit(12.9))
    assert read(fields["cache-status"]) == [(name, {"hit": True, "ttl": 12})]


def test_a_stale_hit_has_a_lifetime_below_zero() -> None:
    fields = headers()
    add_status(fields, CacheStatus("pingap").hit(-3.0))
    assert read(fields["cache-status"]) == [("pingap", {"hit": True, "ttl": -3})]


def test_what_was_forwarded_behind_what_another_cache_said() -> None:
    fields = headers([("Cache-Status", "Origin; hit")])
    status = CacheStatus("pingap")
    add_status(
        fields,
        status.forwarded("stale", status=304, stored=True, collapsed=True, detail='the "reason"'),
    )
    assert read(fields["cache-status"]) == [
        ("Origin", {"hit": True}),
        (
            "pingap",
            {
                "fwd": "stale",
                "fwd-status": 304,
                "stored": True,
                "collapsed": True,
                "detail": 'the "reason"',
            },
        ),
    ]
    assert status.forwarded("uri-miss")[1] == b"Cache-Status: pingap; fwd=uri-miss"


def test_names_that_no_structured_field_can_have_are_refused() -> None:
    with pytest.raises(ValueError, match="contain"):
        CacheStatus("caché")


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ([("Cache-Control", "max-age=60")], "lifetime 60 s by max-age of cache-control: fresh for 50 s more"),
        ([("CDN-Cache-Control", "s-maxage=5")], "lifetime 5 s by s-maxage of cdn-cache-control: stale for 5 s"),
        ([("Cache-Control", "max-age=x"), ("ETag", '"a"')],
         "lifetime 0 s by max-age of cache-control (not valid): stale for 10 s"),
        ([("Cache-Control", "max-age=9999")], "lifetime 100 s by max_ttl, below max-age of cache-control: fresh for 90 s more"),
    ],
)  # fmt: skip
def test_what_why_says(pairs: list[tuple[str, str]], text: str) -> None:
    storing = consider(
        "GET", URL, headers(), 200, headers(pairs),
        request_time=START, response_time=START, policy=Policy(max_ttl=100),
    )  # fmt: skip
    assert storing.response is not None
    assert explain(storing.response, START + 10) == f"age 10 s, {text}"


@pytest.mark.parametrize(
    ("status", "pairs", "reason"),
    [
        (200, [("Cache-Control", "no-store")], "no-store of cache-control"),
        (200, [("CDN-Cache-Control", "private")], "private of cdn-cache-control"),
        (200, [], "no validator, and no lifetime (none)"),
        (200, [("Vary", "*"), ("Cache-Control", "max-age=1")], "Vary: *"),
        (206, [("Cache-Control", "max-age=1")], "status 206"),
        (302, [], "status 302 without explicit lifetime"),
        (200, [("Cache-Control", "max-age=1")], "max-age of cache-control"),
    ],
)
def test_why_something_is_stored_or_not(
    status: int, pairs: list[tuple[str, str]], reason: str
) -> None:
    storing = consider(
        "GET", URL, headers(), status, headers(pairs),
        request_time=START, response_time=START, policy=Policy(),
    )  # fmt: skip
    assert storing.reason == reason
