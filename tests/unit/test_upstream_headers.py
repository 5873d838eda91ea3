"""Entries of headers that do not do what they seem to are told when the configuration is loaded."""

from __future__ import annotations

import pytest

from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.config import ConfigError, parse
from pingap.upstream.peer import Peer
from pingap.upstream.upstream import UpstreamRuntime

TEXT = """
[upstreams.app]
addrs = ["127.0.0.1:9"]
health_check = "none"
[plugins.add]
category = "response_headers"
set_headers = ["X-A: 1", {plugin}]
[locations.all]
upstream = "app"
plugins = ["add"]
proxy_set_headers = [{set}]
proxy_add_headers = [{add}]
[servers.web]
addr = "127.0.0.1:80"
locations = ["all"]
"""


def warnings(*, plugin: str = "", sets: str = "", add: str = "") -> list[str]:
    runtime = build(parse(TEXT.format(plugin=plugin, set=sets, add=add), "c"), installed_registry())
    return [str(one) for one in runtime.warnings]


@pytest.mark.parametrize(
    "name",
    ["Connection", "upgrade", "TE", "Keep-Alive", "Transfer-Encoding", "Content-Length", "Trailer"],
)
def test_headers_that_cannot_be_set(name: str) -> None:
    for key in ("sets", "add", "plugin"):
        [warning] = warnings(**{key: f'"{name}: x"'})
        line = {"sets": "c:11: locations.all.proxy_set_headers[0]",
                "add": "c:12: locations.all.proxy_add_headers[0]",
                "plugin": "c:7: plugins.add.set_headers[1]"}[key]  # fmt: skip
        assert warning.startswith(f"{line}: has no effect: {name} ")


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        ("$host:8080", "$host"), ("a-$remote_addr", "$remote_addr"), ("${host}", None),
        ("x $http_user_agent", "$http_user_agent"), ("id=:connection_id;", ":connection_id"),
        ("$hostname.local", "$hostname"), ("$PINGAP_TEST_X/", "$PINGAP_TEST_X"),
        ("http://host:8080", None), ("max-age=1:30", None), ("$5.00", None), ("US$price", None),
        ("$host", None), (":connection_id", None), (":8080", None), (": x", None), ("a:location", None),
        ("http://a/:upstream_addr", None),
    ],
)  # fmt: skip
def test_text_around_a_variable(
    monkeypatch: pytest.MonkeyPatch, value: str, literal: str | None
) -> None:
    monkeypatch.setenv("PINGAP_TEST_X", "env")
    found = warnings(sets=f'"X-A: {value}"')
    if literal is None:
        assert found == []
    else:
        [warning] = found
        assert f": {literal} is sent as it is written" in warning


def test_a_host_that_is_added() -> None:
    assert "proxy_set_headers" in warnings(add='"Host: a"')[0]
    assert warnings(sets='"Host: a"') == []


def test_unknown_keys() -> None:
    with pytest.raises(
        ConfigError, match=r"proxy_set_headers\[0\]: :service_tim is not a value .*service_time"
    ):
        warnings(sets='"X-A: :service_tim"')
    assert warnings(sets='"X-A: :service_time_human", "X-B: :upstream_tcp_connect_time"') == []


def errors(location: str) -> list[str]:
    text = TEXT.format(plugin="", set="", add="").replace("proxy_set_headers = []\n", location)
    with pytest.raises(ConfigError) as caught:
        build(parse(text, "c"), installed_registry())
    return [str(one) for one in caught.value.problems]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Content-Length", "says where a body ends"),
        ("transfer-encoding", "says where a body ends"),
        ("Connection", "concerns one connection only"),
        ("Upgrade", "concerns one connection only"),
        ("Host", "every request has one, which host_header selects"),
        ("a b", "is not a header name"),
        ("", "is not a header name"),
    ],
)
def test_headers_that_cannot_be_removed(name: str, why: str) -> None:
    [error] = errors(f'proxy_remove_headers = ["Origin", "{name}"]\n')
    assert error.startswith("c:11: locations.all.proxy_remove_headers[1]: ")
    assert why in error


def test_host_cannot_be_emptied() -> None:
    [error] = errors('proxy_set_headers = ["Host:"]\n')
    assert "Host cannot be removed" in error


def test_host_is_set_once() -> None:
    [error] = errors('proxy_set_headers = ["Host: a"]\nhost_header = "upstream"\n')
    assert "is set by host_header as well" in error


@pytest.mark.parametrize("value", ["$host", "a b", "http://a", "a/b", "", "-a", "a:x"])
def test_what_is_no_host(value: str) -> None:
    [error] = errors(f'host_header = "{value}"\n')
    assert "locations.all.host_header: found" in error
    assert 'expected "client", "upstream" or a host' in error
    assert ("proxy_set_headers" in error) is ("$" in value)


@pytest.mark.parametrize("value", ["client", "upstream", "a.example", "a.example:8080", "[::1]:80"])
def test_what_is_a_host(value: str) -> None:
    text = TEXT.format(plugin="", set="", add="").replace(
        "proxy_set_headers = []\n", f'host_header = "{value}"\n'
    )
    assert build(parse(text, "c"), installed_registry()).warnings == []


def upstream_of(addr: str, *, sni: str = "", alpn: str = "H1") -> tuple[UpstreamRuntime, Peer]:
    text = TEXT.format(plugin="", set="", add="").replace(
        'addrs = ["127.0.0.1:9"]',
        f'addrs = ["{addr}"]\nsni = "{sni}"\nalpn = "{alpn}"\ndiscovery = "static"',
    )
    upstream = build(parse(text, "c"), installed_registry()).upstreams["app"]
    return upstream, upstream.peers[0]


@pytest.mark.parametrize(
    ("addr", "sni", "host"),
    [
        ("192.0.2.1:80", "", "192.0.2.1"),
        ("192.0.2.1:8080", "", "192.0.2.1:8080"),
        ("[2001:db8::1]:8080", "", "[2001:db8::1]:8080"),
        ("[2001:db8::1]:80", "", "[2001:db8::1]"),
        ("localhost:80", "", "localhost"),
        ("localhost:8080", "", "localhost:8080"),
        ("localhost:443", "", "localhost:443"),
        ("localhost:443", "api.example", "localhost"),
        ("localhost:80", "api.example", "localhost:80"),
        ("192.0.2.1:443", "api.example", "api.example"),
        ("192.0.2.1:8443", "api.example", "api.example:8443"),
        ("unix:/run/app.sock", "", "localhost"),
        ("unix:/run/app.sock", "api.example", "api.example"),
    ],
)
def test_how_an_upstream_knows_itself(addr: str, sni: str, host: str) -> None:
    upstream, peer = upstream_of(addr, sni=sni)
    assert upstream.host_of(peer) == host
