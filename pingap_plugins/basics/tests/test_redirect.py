"""redirect."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pingap_basics.redirect import Redirect

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
    ctx = make_context(client_ip=peer, scheme=scheme, trusted=trusted)
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
