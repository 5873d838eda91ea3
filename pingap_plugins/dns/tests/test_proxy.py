"""A proxy whose backends come from a real name server, and change under it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from nameserver import NameServer

from pingap.testing import Proxy, Served, Upstream, configuration_problems

SRV = "_http._tcp.app.test"
Start = Callable[..., Proxy]


@pytest.fixture
def start(server: NameServer, start_proxy: Callable[..., Proxy]) -> Start:
    def start(addr: str = SRV, keys: str = 'discovery = "dns"') -> Proxy:
        return start_proxy(f"""
[upstreams.app]
addrs = ["{addr}"]
dns_server = "{server.text}"
update_frequency = "1s"
{keys}
[locations.all]
upstream = "app"
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
""")

    return start


@pytest.fixture
def pair() -> Iterator[tuple[Upstream, Upstream]]:
    with ExitStack() as stack:
        one, two = (stack.enter_context(Upstream()) for _ in range(2))
        one.reply("/", "one")
        two.reply("/", "two")
        yield one, two


def lead_to(server: NameServer, *upstreams: Upstream) -> None:
    server.set(SRV, "SRV", [f"0 1 {one.port} host.test." for one in upstreams])
    server.set("host.test", "A", ["127.0.0.1"])


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 15
    while not true():
        assert time.monotonic() < end, "it does not come true"
        time.sleep(0.05)


def test_requests_follow_the_records_and_none_is_disturbed(
    server: NameServer, start: Start, pair: tuple[Upstream, Upstream]
) -> None:
    one, two = pair
    go_on, ended = threading.Event(), threading.Event()

    def script(served: Served) -> None:
        while (request := served.read_request()) is not None:
            if request.path == "/slow":
                go_on.wait(20)
            served.respond(b"one")
        ended.set()

    one.script = script
    lead_to(server, one)
    proxy = start()
    with proxy.connect() as slow, proxy.connect() as quick:
        slow.send_request("GET", "/slow")
        one.wait_for_request()
        assert quick.get("/").body == b"one"  # its connection is idle from now on
        lead_to(server, two)
        statuses = set()

        def is_two() -> bool:
            answer = quick.get("/")
            statuses.add(answer.status)
            return answer.body == b"two"

        wait_until(is_two)
        assert ended.wait(10)  # the idle one
        ended.clear()
        received = len(one.requests)
        assert [quick.get("/").body for _ in range(5)] == [b"two"] * 5
        assert statuses == {200}
        go_on.set()
        assert slow.answer().body == b"one"
        assert ended.wait(10)  # the connection of the request that was under way
        assert len(one.requests) == received
    proxy.wait_for_log(f"upstream app has new backends: 127.0.0.1:{two.port}")


def test_without_an_answer_at_the_start_503_until_there_is_one(
    server: NameServer, start: Start, pair: tuple[Upstream, Upstream]
) -> None:
    server.set(SRV, "SRV", "SERVFAIL")
    proxy = start()
    assert proxy.get("/").status == 503
    log = proxy.wait_for_log("upstream app has no backends yet: requests get 503")
    expected = (
        "service_discover_fail: upstream app: dns discovery: no name server answers for"
        f' "{SRV}": SERVFAIL'
    )
    assert expected in log
    lead_to(server, pair[0])
    wait_until(lambda: proxy.get("/").status == 200)
    assert "upstream app: all lookups succeed again" in proxy.log
    assert proxy.log.count("service_discover_fail") == 1


def test_a_name_that_flaps_is_not_noticed_by_clients(
    server: NameServer, start: Start, pair: tuple[Upstream, Upstream]
) -> None:
    lead_to(server, pair[0])
    proxy = start()
    with proxy.connect() as client:
        for _ in range(2):
            server.remove(SRV)
            asked = len(server.asked)
            wait_until(lambda asked=asked: len(server.asked) > asked + 1)  # type: ignore[misc]
            assert client.get("/").body == b"one"
            lead_to(server, pair[0])
            asked = len(server.asked)
            wait_until(lambda asked=asked: len(server.asked) > asked + 1)  # type: ignore[misc]
            assert client.get("/").body == b"one"
    log = proxy.wait_for_log("all lookups succeed again")
    assert f'there is no name "{SRV}"; the last answer stays in use' in log
    assert pair[0].connections == 1


def test_a_host_name_alone_selects_dns(
    server: NameServer, start: Start, pair: tuple[Upstream, Upstream]
) -> None:
    server.set("app.test", "A", ["127.0.0.1"])
    assert start(f"app.test:{pair[0].port}", "").get("/").body == b"one"
    assert ("app.test", "A") in server.asked


def test_malformed_entries_are_told_with_their_lines() -> None:
    toml = '[upstreams.a]\ndiscovery = "dns"\naddrs = ["a:80",\n"_http._tcp.a:80",\n"b..c"]'
    assert configuration_problems(toml) == [
        'pingap.toml:4: upstreams.a.addrs[1]: found "_http._tcp.a:80", expected a name alone: SRV'
        " records bring ports and weights of their own",
        'pingap.toml:5: upstreams.a.addrs[2]: "b..c" is not a name that can be looked up: A DNS label'
        " is empty.",
    ]
