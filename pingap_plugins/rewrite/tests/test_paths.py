"""The location key ``rewrite``, through sockets: what the upstream gets, byte for byte."""

from __future__ import annotations

import pytest

from pingap.testing import Proxy, Upstream, configuration_problems


def forwarded(proxy: Proxy, upstream: Upstream, target: str) -> str:
    before = len(upstream.requests)
    assert proxy.get(target).status == 200
    [received] = upstream.requests[before:]
    return received.target


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        ("/app/x", "/x"),
        ("/app/x?a=1&b=%20", "/x?a=1&b=%20"),
        ("/app/", "/"),
        ("/%61pp//x/../%7Ey", "/~y"),  # normalised, then rewritten
        ("/app/caf%c3%a9%20x", "/caf%C3%A9%20x"),
        ("/app/a%22%3C", "/a%22%3C"),
        ("/app/%FF", "/%FF"),
        ("/app/a%25b%3f%23", "/a%25b%3F%23"),
        ("/app/a+b;c=d,e", "/a+b;c=d,e"),
        # Without a match nothing is changed, not even the spelling.
        ("/other//%7Ex?y", "/other//%7Ex?y"),
        # Nor if the path stays the same.
        ("/app?x", "/app?x"),
    ],
)
def test_what_the_upstream_gets(proxy: Proxy, upstream: Upstream, sent: str, got: str) -> None:
    proxy.location("/", rewrite="^/app/(.*)$ /$1")
    assert forwarded(proxy, upstream, sent) == got


def test_a_path_that_stays_is_not_spelled_otherwise(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/", rewrite="^(/app.*)$ $1?x=1")
    assert forwarded(proxy, upstream, "/%61pp//%22%7e?y") == "/%61pp//%22%7e?x=1&y"


def test_raw_matching(proxy: Proxy, upstream: Upstream) -> None:
    proxy.configure("servers.web", path_matching="raw")
    proxy.location("/", rewrite="^/app/(.*)$ /$1")
    assert forwarded(proxy, upstream, "/%61pp/x") == "/%61pp/x"
    assert forwarded(proxy, upstream, "/app//a%2f%c3%a9") == "/a%2f%c3%a9"


def test_allowed_slashes_stay_escaped(proxy: Proxy, upstream: Upstream) -> None:
    proxy.configure("servers.web", allow_in_paths=["encoded_slash"])
    proxy.location("/", rewrite="^/gitlab")
    assert forwarded(proxy, upstream, "/gitlab/api/group%2Fproject") == "/api/group%2Fproject"


def test_a_traversal_is_refused(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/", rewrite="^/static /files/")
    assert proxy.get("/static../secret").status == 400
    assert forwarded(proxy, upstream, "/static/x") == "/files//x"
    assert len(upstream.requests) == 1


def test_groups_become_variables(proxy: Proxy, upstream: Upstream) -> None:
    with Upstream() as blue:
        proxy.configure("upstreams.blue", addrs=[blue.addr])
        proxy.location(
            "~^/(?<area>[a-z]+)/",
            host=r"~^(?<tenant>[a-z]+)\.example\.com$",
            rewrite="^/[a-z]+/(?<colour>[a-z]+)/(?<rest>.*) /$tenant/$rest",
            upstream="$colour",
            proxy_set_headers=["X-Tenant: $tenant", "X-Area: $area", "X-Rest: $rest"],
        )
        answer = proxy.get("/shop/blue/caf%C3%A9", headers={"Host": "acme.example.com"})
        assert answer.status == 200
        received = blue.received_once()
    assert received.target == "/acme/caf%C3%A9"
    assert [received.header(f"x-{one}") for one in ("tenant", "area", "rest")] == [
        "acme", "shop", "caf%C3%A9",
    ]  # fmt: skip
    assert upstream.requests == []


def test_headers_without_a_match_are_removed(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/", rewrite="^/t/(?<tenant>[a-z]+) /", proxy_set_headers=["X-Tenant: $tenant"])
    proxy.get("/other", headers={"X-Tenant": "forged"})
    assert upstream.received_once().header("x-tenant") is None


def test_plugins_and_logs_see_the_new_path(proxy: Proxy, upstream: Upstream) -> None:
    proxy.configure("servers.web", access_log="{uri} {:original_uri}")
    proxy.location("/", rewrite="^/old(.*) /ping$1", plugins=[("ping", {"path": "/ping"})])
    assert proxy.get("/old").text == "pong"
    assert proxy.access_log == ["/ping /old"]


def test_a_websocket(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/", rewrite="^/live /socket")
    upstream.websocket("/socket")
    with proxy.connect_websocket("/live") as socket:
        socket.send("hello")
        assert socket.receive() == "hello"


def test_http2_keeps_the_host(proxy: Proxy, upstream: Upstream) -> None:
    proxy.configure("servers.web", enabled_h2=True)
    proxy.location("/", rewrite="^/a /b")
    host = "a.example"
    with proxy.connect_http2() as client:
        answer = client.answer(client.send_request("GET", "/a?x", headers={"Host": host}))
    assert answer.status == 200
    received = upstream.received_once()
    assert (received.target, received.header("host")) == ("/b?x", host)


def test_options_of_the_whole_server(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("", rewrite="/all/$0")
    with proxy.connect() as client:
        client.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.read_head().status == 200
    assert upstream.received_once().target == "*"


def problems(keys: str) -> list[str]:
    return configuration_problems(
        f'[upstreams.u]\naddrs = ["127.0.0.1:1"]\n[locations.l]\n{keys}\n'
    )


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('rewrite = "a b c"', 'pingap.toml:4: locations.l.rewrite: found "a b c", expected'),
        ('rewrite = "^/(a /x"', 'pingap.toml:4: locations.l.rewrite: "^/(a" is not a regular'),
        ('rewrite = "^/a /$x"', 'rewrite: there is no group "x" (known: $0)'),
        ("rewrite = 1", "pingap.toml:4: locations.l.rewrite: "),
        (
            'upstream = "$y"\nrewrite = "^/(?<x>.) /"',
            '"$y" is not a named group of path, host or rewrite ($x)',
        ),
        ('upstream = "u"\nproxy_set_headers = ["X-A: $y"]\nrewrite = "/(?<x>.) /"', "$x"),
    ],
)
def test_mistakes(keys: str, told: str) -> None:
    found = problems(keys)
    assert any(told in one for one in found), found


def test_an_empty_rule_is_none() -> None:
    assert problems('upstream = "u"\nrewrite = ""') == []
