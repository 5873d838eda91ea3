"""Which discovery an upstream gets, and what is told of it when the configuration is built."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

import pytest

from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.build.runtime import Runtime
from pingap.config import ConfigError, parse
from pingap.plugins.registry import GROUP, Registry
from pingap.upstream.upstream import UpstreamRuntime


def registry(*, dns: bool = True) -> Registry:
    """Return what is installed, with pingap-dns or without."""
    points: list[EntryPoint] = [
        point for point in entry_points(group=GROUP) if dns or point.name != "discovery:dns"
    ]
    return installed_registry(points)


def built(upstream: str, *, dns: bool = True) -> Runtime:
    return build(parse(f"[upstreams.x]\n{upstream}\n", "c"), registry(dns=dns))


def word(upstream: str, *, dns: bool = True) -> str:
    """Return which discovery an upstream gets."""
    runtime: UpstreamRuntime = built(upstream, dns=dns).upstreams["x"]
    if runtime.refresher is None:
        return "static"
    return runtime.refresher._discovery.word


def problems(upstream: str, *, dns: bool = True) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        built(upstream, dns=dns)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("upstream", "expected"),
    [
        ('addrs = ["10.0.0.1"]', "static"),
        # pingap takes these for names.
        ('addrs = ["[::1]:80", "127.0.0.1 10", "unix:/run/a"]', "static"),
        ('addrs = ["10.0.0.1", "app"]', "dns"),
        ('addrs = ["localhost:80"]\ndiscovery = ""', "dns"),
        ('addrs = ["localhost:80"]\ndiscovery = "static"', "static"),
        ('addrs = ["_http._tcp.app"]', "dns"),
        ('addrs = ["10.0.0.1"]\ndns_server = "10.0.0.53"', "dns"),
    ],
)
def test_the_discovery_of_an_upstream_that_names_none(upstream: str, expected: str) -> None:
    assert word(upstream) == expected


def test_without_pingap_dns_names_are_looked_up_once() -> None:
    runtime = built('addrs = ["10.0.0.1",\n"localhost:81"]\nipv4_only = true', dns=False)
    (warning,) = runtime.warnings
    assert str(warning) == (
        "c:3: upstreams.x.addrs[1]: host names are looked up once, at the start: pingap-dns looks them"
        ' up again as they change (discovery = "static" accepts that)'
    )
    peers = runtime.upstreams["x"].peers
    assert [peer.text for peer in peers] == ["10.0.0.1:80", "127.0.0.1:81"]
    assert peers[1].host == "localhost:81"
    assert runtime.upstreams["x"].refresher is None
    once = built('addrs = ["localhost"]\ndiscovery = "static"', dns=False)
    assert once.warnings == []


@pytest.mark.parametrize(
    ("upstream", "key"),
    [
        ('addrs = ["app"]\ndiscovery = "dns"', "3: upstreams.x.discovery"),
        ('addrs = ["_http._tcp.app"]', "2: upstreams.x.addrs"),
        ('addrs = ["app"]\ndns_server = "10.0.0.53"', "2: upstreams.x.addrs"),
    ],
)
def test_what_cannot_do_without_pingap_dns(upstream: str, key: str) -> None:
    assert problems(upstream, dns=False) == [
        f"c:{key}: needs the distribution pingap-dns, which is part of this release: install it, too"
    ]


def test_an_unknown_word() -> None:
    assert problems('addrs = ["app"]\ndiscovery = "dsn"') == [
        'c:3: upstreams.x.discovery: found "dsn", expected one of static, transparent, dns, docker;'
        ' did you mean "dns"?'
    ]


def test_every_address_of_a_static_upstream_is_told_with_its_line() -> None:
    upstream = 'addrs = ["a.invalid",\n"10.0.0.1",\n"b.invalid:81"]\ndiscovery = "static"'
    first, second = problems(upstream)
    assert first.startswith('c:2: upstreams.x.addrs[0]: "a.invalid" cannot be resolved: ')
    assert second.startswith('c:4: upstreams.x.addrs[2]: "b.invalid" cannot be resolved: ')


def test_ports_weights_and_spellings_of_static_addresses() -> None:
    upstream = 'addrs = ["[0::1] 3", "10.0.0.1:81", "unix:/run/a 2"]\nsni = "a"'
    peers = built(upstream).upstreams["x"].peers
    assert [(peer.text, peer.weight) for peer in peers] == [
        ("[::1]:443", 3),
        ("10.0.0.1:81", 1),
        ("unix:/run/a", 2),
    ]
    assert [peer.address for peer in peers] == [("::1", 443), ("10.0.0.1", 81), "/run/a"]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ('update_frequency = "1m"', "has no effect: static addresses are looked up once"),
        ('dns_domain = "a.com"', 'has no effect with discovery = "static"'),
        ('dns_domain = ""', ""),
    ],
)
def test_keys_without_effect_are_told(key: str, message: str) -> None:
    runtime = built(f'addrs = ["10.0.0.1"]\ndiscovery = "static"\n{key}')
    expected = [f"c:4: upstreams.x.{key.partition(' ')[0]}: {message}"] if message else []
    assert [str(one) for one in runtime.warnings] == expected
