"""redirect."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_basics.redirect import Redirect
from pydantic import ValidationError

from pingap import HTTPError
from pingap.testing import Proxy, Upstream, make_context, make_request

TO_HTTPS: dict[str, object] = {"http_to_https": True}
TO_APP: dict[str, object] = {"prefix": "/app"}


def location(
    settings: dict[str, object],
    target: str,
    host: str = "h.test",
    *,
    scheme: str = "http",
    peer: str = "192.0.2.7",
    trusted: tuple[str, ...] = (),
    proto: str | None = None,
) -> str | None:
    """Return where a request is redirected to; None if it passes."""
    plugin = Redirect(Redirect.Settings.model_validate(settings))
    headers = {} if proto is None else {"X-Forwarded-Proto": proto}
    request = make_request(target=target, host=host, headers=headers)
    ctx = make_context(client_ip=peer, scheme=scheme, trusted=trusted, request=request)
    response = plugin.request(request, ctx)
    return None if response is None else response.headers["location"]


def test_http_is_redirected_to_https() -> None:
    assert location(TO_HTTPS, "/a?b=c") == "https://h.test/a?b=c"


def test_https_passes() -> None:
    assert location(TO_HTTPS, "/a", scheme="https") is None


def test_false_does_not_redirect_https_to_http() -> None:
    settings: dict[str, object] = {"http_to_https": False, "prefix": "/app"}
    assert location(settings, "/app/x", scheme="https") is None
    assert location(settings, "/x", scheme="https") == "https://h.test/app/x"


def test_scheme_and_prefix_change_in_one_step() -> None:
    assert location(TO_HTTPS | TO_APP, "/a?b") == "https://h.test/app/a?b"
    assert location(TO_HTTPS | TO_APP, "/app/a") == "https://h.test/app/a"


@pytest.mark.parametrize("host", ["h.test:80", "h.test:8080", "h.test"])
def test_port_of_http_is_not_kept_for_https(host: str) -> None:
    assert location(TO_HTTPS, "/", host) == "https://h.test/"
    assert location({**TO_HTTPS, "https_port": 8443}, "/", host) == "https://h.test:8443/"


@pytest.mark.parametrize("host", ["h.test:8080", "h.test", "[::1]:8080", "[::1]"])
def test_port_is_kept_if_the_scheme_is(host: str) -> None:
    assert location(TO_APP, "/x", host) == f"http://{host}/app/x"


def test_ipv6_host_becomes_https() -> None:
    assert location(TO_HTTPS, "/x", "[::1]:8080") == "https://[::1]/x"


@pytest.mark.parametrize("prefix", ["app", "/app", "/app/"])
def test_prefix_is_joined_with_one_slash(prefix: str) -> None:
    assert location({"prefix": prefix}, "/x") == "http://h.test/app/x"
    assert location({"prefix": prefix}, "/app/x") is None


def test_prefix_is_compared_as_text() -> None:
    assert location(TO_APP, "/apple") is None


def test_prefix_of_slashes_cannot_lead_elsewhere() -> None:
    assert location({"prefix": "//evil.test"}, "/x", host="") == "/evil.test/x"


@pytest.mark.parametrize("prefix", ["", "/"])
def test_prefix_of_one_character_is_none(prefix: str) -> None:
    assert location(TO_HTTPS | {"prefix": prefix}, "/x", scheme="https") is None


def test_without_host_only_the_path_is_named() -> None:
    assert location(TO_APP, "/x?y", host="") == "/app/x?y"


def test_without_host_https_cannot_be_named() -> None:
    with pytest.raises(HTTPError) as caught:
        location(TO_HTTPS, "/x", host="")
    assert caught.value.status == 400


def test_options_of_the_server_passes() -> None:
    assert location(TO_HTTPS | TO_APP, "*") is None


@pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3"])
def test_trusted_proxy_tells_the_scheme(peer: str) -> None:
    def behind(settings: dict[str, object], proto: str) -> str | None:
        return location(settings, "/", proto=proto, peer=peer, trusted=("10.0.0.0/8",))

    assert behind(TO_HTTPS, "https") is None
    assert behind(TO_HTTPS, "http") == "https://h.test/"
    assert behind(TO_APP, "https") == "https://h.test/app/"


@pytest.mark.parametrize(
    ("proto", "expected"),
    [("http, HTTPS ", None), ("https, http", "https://h.test/"), ("ftp", "https://h.test/")],
)
def test_only_what_the_trusted_proxy_added_counts(proto: str, expected: str | None) -> None:
    found = location(TO_HTTPS, "/", proto=proto, peer="10.0.0.1", trusted=("10.0.0.0/8",))
    assert found == expected


@pytest.mark.parametrize("peer", ["192.0.2.7", ""])
def test_others_cannot_tell_the_scheme(peer: str) -> None:
    found = location(TO_HTTPS, "/", proto="https", peer=peer, trusted=("10.0.0.0/8",))
    assert found == "https://h.test/"


@pytest.fixture
def site(upstream: Upstream, start_proxy: Callable[[str], Proxy]) -> Proxy:
    return start_proxy(f"""
[basic]
trusted_proxies = ["127.0.0.0/8"]
[plugins.secure]
category = "redirect"
http_to_https = true
status = 308
[plugins.app]
category = "redirect"
prefix = "/app"
[upstreams.origin]
addrs = ["{upstream.addr}"]
[locations.secure]
host = "secure.test"
upstream = "origin"
plugins = ["secure"]
[locations.all]
upstream = "origin"
plugins = ["app"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["secure", "all"]
""")


def test_client_is_redirected(site: Proxy) -> None:
    answer = site.get("/a?b=c", headers={"Host": f"secure.test:{site.port()}"})
    assert (answer.status, answer.body) == (308, b"")
    assert answer.header("location") == "https://secure.test/a?b=c"


def test_there_is_no_loop_behind_a_proxy_that_terminates_tls(site: Proxy) -> None:
    headers = {"Host": "secure.test", "X-Forwarded-Proto": "https"}
    answer = site.get("/a", headers=headers)
    assert (answer.status, answer.body) == (200, b"ok")


def test_redirected_request_passes(site: Proxy) -> None:
    answer = site.get("/x")
    assert (answer.status, answer.header("location")) == (307, "http://test/app/x")
    assert site.get("/app/x").body == b"ok"


def test_http_1_0_without_host(site: Proxy) -> None:
    with site.connect() as client:
        client.send(b"GET /x HTTP/1.0\r\n\r\n")
        assert client.answer().header("location") == "/app/x"


# Targets elsewhere.


@pytest.mark.parametrize(
    ("settings", "target", "expected"),
    [
        # www to apex, apex to www, an old domain
        ({"to": "https://example.com$request_uri"}, "/a?b=c", "https://example.com/a?b=c"),
        ({"to": "https://www.$host$request_uri"}, "/a?b", "https://www.h.test/a?b"),
        ({"to": "https://new.test/"}, "/a?b", "https://new.test/?b"),
        ({"to": "https://new.test/", "query": "drop"}, "/a?b", "https://new.test/"),
        ({"to": "https://new.test"}, "/a", "https://new.test/"),
        ({"to": "$scheme://$host:8080$request_uri"}, "/a", "http://h.test:8080/a"),
        ({"to": "${scheme}://${host}.new.test/x"}, "/a", "http://h.test.new.test/x"),
        ({"to": "https://[::1]:8443/x"}, "/a", "https://[::1]:8443/x"),
        # slashes at the end
        ({"from": "^(/.+)/$", "to": "$1"}, "/a/b/?c", "/a/b?c"),
        ({"from": "^(/.+)/$", "to": "$1"}, "/", None),
        ({"from": "^(/.*[^/])$", "to": "$1/"}, "/a/b?c", "/a/b/?c"),
        ({"from": "^(/.*[^/])$", "to": "$1/"}, "/a/", None),
        # groups and variables
        ({"from": "^/blog(/.*)$", "to": "https://blog.test$1"}, "/blog/x?y", "https://blog.test/x?y"),
        ({"from": "^/(?<year>[0-9]+)/(?<name>.*)$", "to": "/posts/${name}-$year"}, "/7/x", "/posts/x-7"),
        ({"from": "^/item/([0-9]+)$", "to": "/items?id=$1"}, "/item/5?a", "/items?id=5&a"),
        ({"from": "^/item/([0-9]+)$", "to": "/items?id=$1", "query": "drop"}, "/item/5?a", "/items?id=5"),
        ({"from": "^/old$", "to": "/new#part"}, "/old?a", "/new?a#part"),
        ({"from": "^/old$", "to": "/new"}, "/older", None),
        ({"from": "^/x(y)?$", "to": "/new/$1"}, "/x", "/new/"),
        ({"to": "/$method/$client_ip"}, "/a", "/GET/192.0.2.7"),
        ({"to": "/find?$args"}, "/a?b&c", "/find?b&c"),
        ({"to": "https://login.test/?back=https://$host$request_uri"}, "/a?b&c%20",
         "https://login.test/?back=https://h.test/a%3Fb%26c%2520"),
        ({"to": "/cost/$$1"}, "/a", "/cost/$1"),
        # It would be redirected again and again.
        ({"to": "$request_uri"}, "/a?b", None),
        ({"to": "http://h.test$request_uri"}, "/a?b", None),
        ({"to": "/new"}, "/new", None),
        ({"to": "/new"}, "/new?x", None),
        ({"to": "/new", "query": "drop"}, "/new?x", "/new"),
        ({"to": "http://H.test$request_uri"}, "/a", None),
        ({"to": "http://h.test:80$request_uri"}, "/a", None),
        ({"to": "http://h.test.$request_uri"}, "/a", None),
        ({"to": "http://h.test:8080$request_uri"}, "/a", "http://h.test:8080/a"),
        ({"to": "https://h.test:443$request_uri"}, "/a", "https://h.test/a"),
        ({"to": "https://[::0001]:8443/x"}, "/a", "https://[::1]:8443/x"),
        ({"to": "/new#part"}, "/new", None),
        ({"to": "/new#part"}, "/new?x", None),
        ({"to": "/new?x=1"}, "/a?y", "/new?x=1&y"),
        ({"to": "/new?x=1"}, "/new?x=1", None),
        ({"to": "/new?x=1"}, "/new?x=1&y", None),
        ({"to": "/new?x=1"}, "/new?x=12", "/new?x=1&x=12"),
    ],
)  # fmt: skip
def test_targets(settings: dict[str, object], target: str, expected: str | None) -> None:
    assert location(settings, target) == expected


@pytest.mark.parametrize("host", ["h.test:80", "H.test", "h.test.", "h.test.:80"])
def test_a_request_at_the_target_passes_however_its_host_is_written(
    host: str, start_proxy: Callable[[str], Proxy]
) -> None:
    proxy = start_proxy("""
[plugins.one_name]
category = "redirect"
to = "http://H.test:80$request_uri"
[plugins.passed]
category = "mock"
status = 204
[locations.all]
plugins = ["one_name", "passed"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
""")
    assert proxy.get("/a", headers={"Host": host}).status == 204
    assert proxy.get("/a", headers={"Host": "other.test"}).header("location") == "http://h.test/a"


def test_a_target_has_a_valid_address() -> None:
    with pytest.raises(ValidationError, match="not an IPv6 address"):
        Redirect.Settings.model_validate({"to": "http://[::1::]/x"})


@pytest.mark.parametrize(
    ("settings", "target", "expected"),
    [
        ({"to": "$request_uri"}, "//evil.test/x", "/evil.test/x"),
        ({"to": "$uri"}, "//evil.test/x", "/evil.test/x"),
        ({"to": "/$path"}, "//evil.test", "/evil.test"),
        ({"from": "^/go/(.*)$", "to": "/$1"}, "/go//evil.test", "/evil.test"),
        ({"from": "^/go(.*)$", "to": "$1"}, "/go/\\evil.test", "/%5Cevil.test"),
        ({"from": "^/go(.*)$", "to": "$1"}, "/go\\evil.test", "/%5Cevil.test"),
        ({"from": "^/go(.*)$", "to": "https://h.test$1"}, "/go.evil.test/", "https://h.test/.evil.test/"),
        ({"from": "^/go(.*)$", "to": "https://h.test$1"}, "/go@evil.test/", "https://h.test/@evil.test/"),
        ({"from": "^/go(.*)$", "to": "https://h.test$1"}, "/go:80@evil.test/", "https://h.test/:80@evil.test/"),
        ({"to": "https://new.test$request_uri"}, "//evil.test", "https://new.test//evil.test"),
        ({"to": "/x$request_uri"}, "/\xc3\xa9?\xff", "/x/%C3%A9?%FF"),
        ({"from": "^/(.*)$", "to": "/x/$1"}, "/é", "/x/%C3%A9"),
        ({"from": "^/(.*)$", "to": "/x/$1"}, "/%0D%0ASet-Cookie:a=b", "/x/%0D%0ASet-Cookie:a=b"),
        ({"from": "(?s)^/(.*)$", "to": "/x/$1"}, "/\t\r\nX: y", "/x/%09%0D%0AX:%20y"),
        ({"from": "^/(.*)$", "to": "/x?y=$1"}, "/a&b=c#d", "/x?y=a%26b%3Dc%23d"),
        ({"to": "/x/$http_user_agent"}, "/", "/x/a%3Fb%23c%26%22%20%E9"),
    ],
)  # fmt: skip
def test_clients_choose_neither_the_host_nor_fields(
    settings: dict[str, object], target: str, expected: str
) -> None:
    plugin = Redirect(Redirect.Settings.model_validate(settings))
    request = make_request(target="/", host="h2.test", headers={"User-Agent": 'a?b#c&" \xe9'})
    object.__setattr__(request, "target", target)
    object.__setattr__(request, "path", target.partition("?")[0])
    response = plugin.request(request, make_context(request=request))
    assert response is not None
    assert response.headers["location"] == expected


@pytest.mark.parametrize("host", ["", "a b", "h.test'", "h&x.test", "h%2fx"])
def test_a_host_that_cannot_be_in_a_url(host: str) -> None:
    plugin = Redirect(Redirect.Settings.model_validate({"to": "https://www.$host/"}))
    request = make_request(host="h.test")
    object.__setattr__(request, "host", host)
    with pytest.raises(HTTPError) as caught:
        plugin.request(request, make_context(request=request))
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"to": "example.com/x"}, "expected a path such as"),
        ({"to": "//example.com"}, "expected a path such as"),
        ({"to": "ftp://example.com"}, "expected a path such as"),
        ({"to": "https://$1.example.com", "from": "/(.*)"}, "the host is missing"),
        ({"to": "https://$http_x/"}, "the host is missing"),
        ({"to": "https:///x"}, "the host is missing"),
        ({"to": "https://a@b/"}, 'in which "@" cannot be a part of the host'),
        ({"to": "https://:80/"}, "is no host"),
        ({"to": "https://a:b:1/"}, "is no host"),
        ({"to": "/a b"}, "escape it, as %20"),
        ({"to": "/a\\b"}, "escape it, as %5C"),
        ({"to": "/a\n"}, "escape it, as %0A"),
        ({"to": "/$2", "from": "(.*)"}, "$2 is not a group of from"),
        ({"to": "/$1"}, "$1 is not a group of from"),
        ({"to": "/$nme", "from": "(?<name>.*)"}, "$nme is neither an environment variable"),
        ({"to": "/$1x", "from": "(.*)"}, '"$1x" is neither a group of from nor a variable'),
        ({"to": "/${}"}, "is neither a group of from nor a variable"),
        ({"to": "/x", "prefix": "/y"}, "to takes the place of http_to_https"),
        ({"to": "/x", "http_to_https": True}, "to takes the place of http_to_https"),
        ({"to": "/x", "https_port": 443}, "to takes the place of http_to_https"),
        ({"from": "/x"}, "from and query need to"),
        ({"query": "drop", "prefix": "/x"}, "from and query need to"),
        ({"to": "$request_uri", "query": "drop"}, "$request_uri contains the query"),
        ({"to": "/x", "from": "("}, "from"),
        ({"to": "/x", "status": 300}, "status"),
        ({}, "redirects nothing"),
    ],
)
def test_mistakes_in_targets(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Redirect.Settings.model_validate(settings)
    assert problem in str(caught.value)


# What a URL parser, or a browser, could take for the begin of a host or of a field.
TRICKS = st.lists(
    st.sampled_from(["/", "\\", "@", ":", "//", "%", "%2F", "\t", "\r\n", "#", "?", "evil.test", ".", "é", "\x00", " "]),
    max_size=8,
).map("".join)  # fmt: skip


@given(
    TRICKS,
    st.sampled_from(
        ["$1", "/$1", "/x$1", "https://h.test$1", "https://h.test/$1", "https://h.test?$1"]
    ),
)
def test_no_path_leads_to_another_host(path: str, to: str) -> None:
    plugin = Redirect(Redirect.Settings.model_validate({"from": "(?s)^/(.*)$", "to": to}))
    request = make_request()
    object.__setattr__(request, "path", f"/{path}")
    response = plugin.request(request, make_context(request=request))
    if response is None:
        return
    found = response.headers["location"]
    assert re.fullmatch(r"(?:https://h\.test)?/(?:[!-\[\]-~]*)", found)
    assert not found.startswith("//")
    assert urlsplit(urljoin("https://h.test/", found)).netloc == "h.test"


def test_redirects_elsewhere_through_sockets(start_proxy: Callable[[str], Proxy]) -> None:
    site = start_proxy("""
[plugins.apex]
category = "redirect"
to = "https://example.test$request_uri"
status = 301
[plugins.plain]
category = "redirect"
from = "^(/.+)/$"
to = "$1"
status = 303
[plugins.pong]
category = "mock"
data = "here"
[locations.www]
host = "www.example.test"
plugins = ["apex"]
[locations.all]
plugins = ["plain", "pong"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["www", "all"]
""")
    answer = site.get("//evil.test/%0d%0aX:1?a=b", headers={"Host": "www.example.test:1"})
    assert answer.status == 301
    assert answer.header("location") == "https://example.test//evil.test/%0d%0aX:1?a=b"
    answer = site.get("//evil.test/?a")
    assert (answer.status, answer.header("location")) == (303, "/evil.test?a")
    assert site.get("/evil.test?a").text == "here"
