"""cors: preflight requests, responses, and what the upstream says about both."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pingap.testing import Answer, Proxy, Upstream, configuration_problems

Guarded = Callable[..., Proxy]
SHOP = "https://shop.test"
PREFLIGHT = {"Origin": SHOP, "Access-Control-Request-Method": "PUT"}


def problems(keys: str) -> list[str]:
    return configuration_problems(f'[plugins.p]\ncategory = "cors"\n{keys}\n')


def shown(answer: Answer) -> dict[str, str]:
    """Return the fields about CORS; none of them may be there twice."""
    fields = [(name.lower(), value) for name, value in answer.headers]
    ours = [one for one in fields if one[0].startswith("access-control-") or one[0] == "vary"]
    assert len(ours) == len(dict(ours)), ours
    return dict(ours)


# Preflight requests.


def test_a_preflight_request_is_answered(guarded: Guarded, upstream: Upstream) -> None:
    proxy = guarded("cors", allow_origin=SHOP, allow_headers="X-A, X-B", expose_headers="X-C")
    answer = proxy.request("OPTIONS", "/x", headers=PREFLIGHT)
    assert (answer.status, answer.body) == (204, b"")
    assert shown(answer) == {
        "access-control-allow-origin": SHOP,
        "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
        "access-control-allow-headers": "X-A, X-B",
        "access-control-max-age": "3600",
        "vary": "Origin",
    }
    assert upstream.requests == []


def test_the_keys_of_a_preflight_response(guarded: Guarded) -> None:
    proxy = guarded(
        "cors",
        allow_origin=[SHOP],
        allow_methods="GET",
        allow_credentials=True,
        max_age="0s",
    )
    assert shown(proxy.request("OPTIONS", "/", headers=PREFLIGHT)) == {
        "access-control-allow-origin": SHOP,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET",
        "vary": "Origin",
    }


@pytest.mark.parametrize("max_age", ["30m", "1800s"])
def test_max_age_is_in_seconds(guarded: Guarded, max_age: str) -> None:
    proxy = guarded("cors", max_age=max_age)
    found = shown(proxy.request("OPTIONS", "/", headers=PREFLIGHT))
    assert found["access-control-max-age"] == "1800"
    assert found["access-control-allow-origin"] == "*"


def test_a_preflight_request_of_another_site_gets_no_permission(guarded: Guarded) -> None:
    proxy = guarded("cors", allow_origin="https://other.test")
    answer = proxy.request("OPTIONS", "/", headers=PREFLIGHT)
    assert answer.status == 204
    assert shown(answer) == {"vary": "Origin"}


@pytest.mark.parametrize(
    "headers",
    [
        {},  # pingap 0.13.9 answers 400
        {"Origin": SHOP},
        {"Access-Control-Request-Method": "PUT"},
    ],
)
def test_other_options_requests_are_forwarded(
    guarded: Guarded, upstream: Upstream, headers: dict[str, str]
) -> None:
    proxy = guarded("cors", allow_origin="$http_origin")
    assert proxy.request("OPTIONS", "/", headers=headers).status == 200
    assert upstream.received_once().method == "OPTIONS"


@pytest.mark.parametrize(
    ("settings", "asked", "wanted"),
    [
        ({"allow_private_network": True}, "true", "true"),
        ({"allow_private_network": True}, None, None),
        ({"allow_private_network": True}, "false", None),
        ({}, "true", None),
        ({"allow_private_network": True, "allow_origin": "https://other.test"}, "true", None),
    ],
)
def test_private_networks(
    guarded: Guarded, settings: dict[str, object], asked: str | None, wanted: str | None
) -> None:
    asking = {} if asked is None else {"Access-Control-Request-Private-Network": asked}
    proxy = guarded("cors", **settings)
    found = shown(proxy.request("OPTIONS", "/", headers={**PREFLIGHT, **asking}))
    assert found.get("access-control-allow-private-network") == wanted
    actual = shown(proxy.get("/", headers={"Origin": SHOP, **asking}))
    assert "access-control-allow-private-network" not in actual


# Responses.


def test_a_response_says_who_may_read_it(guarded: Guarded) -> None:
    proxy = guarded("cors", allow_origin=[SHOP], expose_headers="X-C", allow_credentials=True)
    answer = proxy.get("/", headers={"Origin": SHOP})
    assert answer.status == 200
    assert shown(answer) == {
        "access-control-allow-origin": SHOP,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "X-C",
        "vary": "Origin",
    }


@pytest.mark.parametrize("origin", ["https://evil.test", "null", "", "https://shop.test.evil.test"])
def test_other_sites_may_not_read_it(guarded: Guarded, origin: str) -> None:
    proxy = guarded("cors", allow_origin=[SHOP], allow_credentials=True)
    assert shown(proxy.get("/", headers={"Origin": origin})) == {"vary": "Origin"}


@pytest.mark.parametrize("origin", ["*", "$http_origin", SHOP])
def test_vary_is_sent_without_an_origin_too(guarded: Guarded, origin: str) -> None:
    """A cache that stored this response must not use it for requests with ``Origin``."""
    assert shown(guarded("cors", allow_origin=origin).get("/")) == {"vary": "Origin"}


def test_the_documented_variable_works_as_it_did(guarded: Guarded) -> None:
    proxy = guarded("cors", allow_origin="$http_origin")
    assert shown(proxy.get("/", headers={"Origin": SHOP})) == {
        "access-control-allow-origin": SHOP,
        "vary": "Origin",
    }


def test_the_upstream_has_no_say(guarded: Guarded, upstream: Upstream) -> None:
    upstream.reply(
        "/",
        b"x",
        headers=[
            ("Access-Control-Allow-Origin", "*"),
            ("access-control-allow-origin", "https://evil.test"),
            ("Access-Control-Allow-Credentials", "true"),
            ("Access-Control-Allow-Methods", "*"),
            ("Access-Control-Max-Age", "86400"),
            ("Access-Control-Expose-Headers", "Set-Cookie"),
            ("Vary", "Accept"),
        ],
    )
    proxy = guarded("cors", allow_origin=SHOP)
    for origin, wanted in (
        (SHOP, {"access-control-allow-origin": SHOP}),
        ("https://evil.test", {}),
    ):
        answer = proxy.get("/", headers={"Origin": origin})
        fields = {n.lower(): v for n, v in answer.headers if n.lower().startswith("access-")}
        assert fields == wanted
        assert answer.headers.get_all("Vary") == ["Accept", "Origin"]


@pytest.mark.parametrize("vary", ["Origin", "accept, ORIGIN", "*"])
def test_vary_is_not_repeated(guarded: Guarded, upstream: Upstream, vary: str) -> None:
    upstream.reply("/", b"x", headers={"Vary": vary})
    assert guarded("cors").get("/").headers.get_all("Vary") == [vary]


def test_other_paths_are_left_alone(guarded: Guarded, upstream: Upstream) -> None:
    upstream.reply("/page", b"x", headers={"Access-Control-Allow-Origin": "https://a.test"})
    proxy = guarded("cors", path="^/api")
    assert shown(proxy.get("/page", headers={"Origin": SHOP})) == {
        "access-control-allow-origin": "https://a.test"
    }
    assert proxy.request("OPTIONS", "/page", headers=PREFLIGHT).status == 200
    assert proxy.request("OPTIONS", "/%61pi/x", headers=PREFLIGHT).status == 204
    assert "vary" in shown(proxy.get("/api/x"))


def test_errors_and_refusals_can_be_read(proxy: Proxy) -> None:
    refused = ("ip_restriction", {"ip_list": ["192.0.2.7"]})
    proxy.location("/", plugins=[("cors", {"allow_origin": SHOP}), refused])
    answer = proxy.get("/", headers={"Origin": SHOP})
    assert answer.status == 403
    assert shown(answer)["access-control-allow-origin"] == SHOP
    assert proxy.request("OPTIONS", "/", headers=PREFLIGHT).status == 204


def test_a_guard_in_front_refuses_preflight_requests_as_well(proxy: Proxy) -> None:
    refused = ("ip_restriction", {"ip_list": ["192.0.2.7"]})
    proxy.location("/", plugins=[refused, ("cors", {"allow_origin": SHOP})])
    answer = proxy.request("OPTIONS", "/", headers=PREFLIGHT)
    assert answer.status == 403
    assert "access-control-allow-methods" not in shown(answer)


def test_two_instances_for_two_paths(proxy: Proxy) -> None:
    one = ("cors", {"path": "^/one", "allow_origin": "https://one.test"})
    two = ("cors", {"path": "^/two", "allow_origin": "https://two.test"})
    proxy.location("/", plugins=[one, two])
    for name in ("one", "two"):
        headers = {**PREFLIGHT, "Origin": f"https://{name}.test"}
        answer = proxy.request("OPTIONS", f"/{name}", headers=headers)
        assert (answer.status, len(shown(answer))) == (204, 4)


def test_a_hit_of_a_cache_is_for_each_origin(proxy: Proxy, upstream: Upstream) -> None:
    headers = {"Cache-Control": "max-age=60", "Access-Control-Allow-Origin": "https://first.test"}
    upstream.reply("/", b"x", headers=headers)
    origins = ["https://first.test", "https://second.test"]
    proxy.location("/", plugins=[("cors", {"allow_origin": origins}), ("cache", {})])
    for origin in (*origins, "https://evil.test"):
        found = shown(proxy.get("/", headers={"Origin": origin}))
        assert found.get("access-control-allow-origin") == (origin if origin in origins else None)
    assert len(upstream.requests) == 1


# Attacks.


@pytest.mark.parametrize(
    "lines",
    [
        [("Origin", SHOP), ("Origin", "https://evil.test")],
        [("Origin", f"{SHOP}, https://evil.test")],
        [("Origin", f"{SHOP} https://evil.test")],
        [("Origin", f"{SHOP}\xe9")],
        [("Origin", "HTTPS://SHOP.TEST")],
        [("Origin", f"{SHOP}/")],
        [("Origin", f"{SHOP}."), ("X-Origin", SHOP)],
    ],
)
@pytest.mark.parametrize("entry", [SHOP, "~https://[a-z]+\\.test"])
def test_forged_origins(guarded: Guarded, lines: list[tuple[str, str]], entry: str) -> None:
    proxy = guarded("cors", allow_origin=[entry], allow_credentials=True)
    assert shown(proxy.get("/", headers=lines)) == {"vary": "Origin"}


def test_any_value_of_origin_is_returned_as_it_is_or_not_at_all(guarded: Guarded) -> None:
    proxy = guarded("cors", allow_origin="$http_origin")
    for origin in ("x" * 4000, "a\xff\tb", "null"):
        found = shown(proxy.get("/", headers={"Origin": origin}))
        assert found["access-control-allow-origin"] == origin


def test_http2(guarded: Guarded) -> None:
    proxy = guarded("cors", allow_origin=SHOP)
    proxy.configure("servers.web", enabled_h2=True)
    with proxy.connect_http2() as client:
        answer = client.request("OPTIONS", "/", headers=PREFLIGHT)
        assert (answer.status, shown(answer)["access-control-allow-origin"]) == (204, SHOP)


# The configuration.


@pytest.mark.parametrize(
    "keys",
    [
        "",
        'allow_origin = "*"\nallow_headers = "*"',
        'allow_origin = ["https://a.test", "~https://[a-z]+.b.test"]\nallow_credentials = true',
        'path = "^/api"\nallow_methods = "GET,POST"\nexpose_headers = "X-A"\nmax_age = "1h 30m"',
        'allow_origin = ""',  # an empty text is the same as no key
    ],
)
def test_keys(keys: str) -> None:
    assert problems(keys) == []


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('allow_origin = "shop.test"', '"shop.test" is not an origin'),
        ("allow_origin = []", "allow_origin is empty"),
        ("allow_origin = 1", "allow_origin"),
        ('allow_origin = [""]', '"" is not an origin'),
        ("allow_credentials = true", 'allow_credentials with allow_origin = "*" would let any site'),
        ('allow_origin = "$http_origin"\nallow_credentials = true', "$http_origin"),
        ('allow_origin = "~.*"\nallow_credentials = true', "matches any origin"),
        (
            'allow_origin = "https://a.test"\nallow_credentials = true\nallow_headers = "*"',
            'browsers do not understand allow_headers = "*"',
        ),
        ('allow_methods = "GET POST"', "expected names that are separated by commas"),
        ('expose_headers = "X A"', "expose_headers"),
        ('path = "("', "path"),
        ('max_age = "-1s"', "max_age"),
        ('max_age = "x"', "max_age"),
    ],
)  # fmt: skip
def test_mistakes(keys: str, told: str) -> None:
    found = problems(keys)
    assert any(told in one for one in found), found
