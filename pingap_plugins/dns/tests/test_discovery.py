"""Finding backends by asking a real name server."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
import pytest
from nameserver import SILENT, NameServer
from pingap_dns import resolver
from pingap_dns.discovery import DnsDiscovery

from pingap import Discovered, DiscoverySettings

Make = Callable[..., DnsDiscovery]


@pytest.fixture
def make(server: NameServer) -> Make:
    def make(*addrs: str, **settings: object) -> DnsDiscovery:
        keys = {"upstream": "x", "dns_server": (server.address,), **settings}
        discovery = DnsDiscovery(DiscoverySettings(**keys))  # type: ignore[arg-type]
        for text in addrs:
            discovery.add(text)
        return discovery

    return make


def find(discovery: DnsDiscovery) -> Discovered:
    return anyio.run(discovery.find)


def texts(found: Discovered) -> Sequence[str]:
    return [str(one) for one in found.endpoints]


def test_all_addresses_of_all_entries(server: NameServer, make: Make) -> None:
    server.set("app.test", "A", ["10.0.0.2", "10.0.0.1"], ttl=30)
    server.set("app.test", "AAAA", ["fd00::1"], ttl=20)
    found = find(make("app.test:8080 3", "app.test", "10.9.9.9:1", "[::1]:80", "unix:/run/a"))
    assert texts(found) == [
        *("10.0.0.1:8080", "10.0.0.2:8080", "[fd00::1]:8080"),
        *("10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"),
        *("10.9.9.9:1", "[::1]:80", "unix:/run/a"),
    ]
    assert [one.weight for one in found.endpoints] == [3, 3, 3, 1, 1, 1, 1, 1, 1]
    assert (found.valid_for, found.failures) == (20, [])
    assert sorted(server.asked) == [("app.test", "A"), ("app.test", "AAAA")]


@pytest.mark.parametrize(("ttl", "valid"), [(0, 5), (4, 5), (60, 60), (900, 300)])
def test_a_ttl_counts_within_bounds(server: NameServer, make: Make, ttl: int, valid: int) -> None:
    server.set("app.test", "A", ["10.0.0.1"], ttl)
    assert find(make("app.test")).valid_for == valid


def test_ipv4_only_asks_for_nothing_else(server: NameServer, make: Make) -> None:
    server.set("app.test", "A", ["10.0.0.1"])
    server.set("app.test", "AAAA", ["fd00::1"])
    assert texts(find(make("app.test", ipv4_only=True))) == ["10.0.0.1:80"]
    assert server.asked == [("app.test", "A")]


def test_services(server: NameServer, make: Make) -> None:
    server.set("_http._tcp.app.test", "SRV", ["10 5 8081 one.test.", "20 1 8082 two.test."], ttl=40)
    server.set("one.test", "A", ["10.0.0.1"], ttl=50)
    server.set("two.test", "A", ["10.0.0.2"], ttl=50)
    found = find(make("_http._tcp.app.test"))
    assert [(str(one), one.weight, one.backup) for one in found.endpoints] == [
        ("10.0.0.1:8081", 5, False),
        ("10.0.0.2:8082", 1, True),
    ]
    assert found.valid_for == 40


def test_an_alias_is_followed_and_its_ttl_counts(server: NameServer, make: Make) -> None:
    server.set("www.test", "CNAME", ["app.test."], ttl=7)
    server.set("app.test", "A", ["10.0.0.1"], ttl=60)
    found = find(make("www.test"))
    assert (texts(found), found.valid_for) == (["10.0.0.1:80"], 7)


def test_a_long_answer_comes_by_tcp(server: NameServer, make: Make) -> None:
    server.set("app.test", "A", ["10.0.0.1"], ttl=60)
    server.truncates = True
    assert texts(find(make("app.test"))) == ["10.0.0.1:80"]
    assert server.asked.count(("app.test", "A")) == 2


@pytest.mark.parametrize("broken", ["SERVFAIL", "REFUSED", "gone", "empty", SILENT])
def test_a_name_that_fails_keeps_its_addresses_and_harms_no_other(
    server: NameServer, make: Make, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "QUESTION_SECONDS", 0.5)
    server.set("app.test", "A", ["10.0.0.1"])
    server.set("other.test", "A", ["10.0.0.2"])
    discovery = make("app.test", "other.test", ipv4_only=True)
    assert texts(find(discovery)) == ["10.0.0.1:80", "10.0.0.2:80"]
    if broken == "gone":
        server.remove("app.test")
    else:
        server.set("app.test", "A", [] if broken == "empty" else broken)
        server.set("app.test", "TXT", ["here"])
    server.set("other.test", "A", ["10.0.0.3"])
    for _ in range(2):
        found = find(discovery)
        assert texts(found) == ["10.0.0.1:80", "10.0.0.3:80"]
        reason = {
            "gone": 'there is no name "app.test"',
            "empty": '"app.test" has no address',
            SILENT: 'no name server answered for "app.test" within 0.5 s',
        }.get(broken, f'no name server answers for "app.test": {broken}')
        assert found.failures == [f"{reason}; the last answer stays in use"]
    server.set("app.test", "A", ["10.0.0.4"])
    found = find(discovery)
    assert (texts(found), found.failures) == (["10.0.0.4:80", "10.0.0.3:80"], [])


def test_services_that_fail_keep_their_last_answer_while_targets_are_followed(
    server: NameServer, make: Make
) -> None:
    server.set("_http._tcp.app.test", "SRV", ["10 5 8081 one.test."])
    server.set("one.test", "A", ["10.0.0.1"])
    discovery = make("_http._tcp.app.test")
    find(discovery)
    server.set("_http._tcp.app.test", "SRV", "SERVFAIL")
    server.set("one.test", "A", ["10.0.0.7"])
    assert texts(find(discovery)) == ["10.0.0.7:8081"]


def test_the_next_name_server_is_asked(server: NameServer, make: Make) -> None:
    server.set("app.test", "A", ["10.0.0.1"])
    with NameServer() as refuses:
        refuses.set("app.test", "A", "REFUSED")
        refuses.set("app.test", "AAAA", "REFUSED")
        both = (refuses.address, server.address)
        assert texts(find(make("app.test", dns_server=both))) == ["10.0.0.1:80"]
        assert refuses.asked


def test_domains_are_tried_for_short_names(server: NameServer, make: Make) -> None:
    server.set("app.two.test", "A", ["10.0.0.1"])
    discovery = make("app", ipv4_only=True, dns_domain="one.test", dns_search=("two.test",))
    assert texts(find(discovery)) == ["10.0.0.1:80"]
    assert server.asked == [("app.one.test", "A"), ("app.two.test", "A")]


def test_localhost_asks_nobody(server: NameServer, make: Make) -> None:
    assert "127.0.0.1:80" in texts(find(make("localhost")))
    assert server.asked == []


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("_http._tcp.a:80", "expected a name alone"),
        ("_http._tcp.a 2", "expected a name alone"),
        ("_http.a", 'expected a name such as "_http._tcp.example.com"'),
        ("_http._tcp", 'expected a name such as "_http._tcp.example.com"'),
        ("a..b", "is not a name that can be looked up"),
        ("a" * 64, "is not a name that can be looked up"),
        ("a:b", "expected an address"),
    ],
)
def test_malformed_entries(make: Make, entry: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        make(entry)
