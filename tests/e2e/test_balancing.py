"""Balancing as clients and backends see it."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TypeVar

import pytest
from support.h2_origin import H2Served, h2_script
from support.rig import configure
from support.waiting import until

from pingap.testing import Answer, Clock, Proxy, Served, Upstream
from pingap.upstream.peer import Peer
from pingap.upstream.upstream import UpstreamRuntime

T = TypeVar("T")


@pytest.fixture
def backends() -> Iterator[list[Upstream]]:
    """Three backends; each says its number."""
    with ExitStack() as stack:
        running = [stack.enter_context(Upstream()) for _ in range(3)]
        for number, backend in enumerate(running):
            backend.default = _says(f"{number}")
        yield running


def _says(text: str) -> Callable[..., None]:
    def answer(served: object, request: object) -> None:
        served.respond(text.encode())  # type: ignore[attr-defined]

    return answer


@pytest.fixture
def start(backends: list[Upstream]) -> Iterator[Callable[..., Proxy]]:
    """Start a proxy in front of the backends: ``start('algo = "p2c"', addrs=...)``."""
    with ExitStack() as stack:

        def run(upstream: str = "", *, addrs: list[str] | None = None, **more: str) -> Proxy:
            basic = 'trusted_proxies = ["127.0.0.1/32"]'
            found = addrs or [backend.addr for backend in backends]
            toml = configure(*found, upstream=upstream, basic=basic, **more)
            return stack.enter_context(Proxy(toml))

        yield run


def upstream_of(proxy: Proxy) -> UpstreamRuntime:
    assert proxy._runtime is not None
    return proxy._runtime.upstreams["origin"]


def in_loop(proxy: Proxy, function: Callable[[], T]) -> T:
    assert proxy._thread is not None
    return proxy._thread.call(function)


def block(proxy: Proxy, *places: int) -> None:
    for place in places:
        in_loop(proxy, lambda place=place: upstream_of(proxy).peers[place].block("test"))  # type: ignore[misc]


def unblock(proxy: Proxy, *places: int) -> None:
    for place in places:
        in_loop(proxy, lambda place=place: upstream_of(proxy).peers[place].unblock("test"))  # type: ignore[misc]


# Hashes


@pytest.mark.parametrize(
    ("algo", "same", "others"),
    [
        ("hash:path", {"target": "/a?x=1"}, [{"target": f"/{n}"} for n in range(20)]),
        ("hash:url", {"target": "/a?x=1"}, [{"target": f"/a?x={n}"} for n in range(20)]),
        ("hash:query:x", {"target": "/b?x=a"}, [{"target": f"/b?x={n}"} for n in range(20)]),
        ("hash:ip", {"client_ip": "192.0.2.1"}, [{"client_ip": f"192.0.2.{n}"} for n in range(20)]),
        (
            "hash:header:X-Key",
            {"headers": {"X-Key": "a"}},
            [{"headers": {"X-Key": f"{n}"}} for n in range(20)],
        ),
        (
            "hash:cookie:sid",
            {"headers": {"Cookie": "sid=a"}},
            [{"headers": {"Cookie": f"sid={n}"}} for n in range(20)],
        ),
    ],
)
def test_the_same_key_goes_to_the_same_backend(
    start: Callable[..., Proxy], algo: str, same: dict[str, str], others: list[dict[str, str]]
) -> None:
    proxy = start(f'algo = "{algo}"')
    owner = {proxy.get(**{"target": "/", **same}).text for _ in range(4)}  # type: ignore[arg-type]
    assert len(owner) == 1
    assert len({proxy.get(**{"target": "/", **one}).text for one in others}) == 3  # type: ignore[arg-type]
    block(proxy, int(*owner))
    elsewhere = {proxy.get(**{"target": "/", **same}).text for _ in range(4)}  # type: ignore[arg-type]
    assert len(elsewhere) == 1
    assert elsewhere != owner
    unblock(proxy, int(*owner))
    assert proxy.get(**{"target": "/", **same}).text in owner  # type: ignore[arg-type]


def test_weights_are_kept(start: Callable[..., Proxy], backends: list[Upstream]) -> None:
    addrs = [f"{backends[0].addr} 3", f"{backends[1].addr} 1", f"{backends[2].addr} 0"]
    for algo in ("round_robin", "least_conn"):
        proxy = start(f'algo = "{algo}"', addrs=addrs)
        with proxy.connect() as client:
            assert Counter(client.get("/").text for _ in range(16)) == {"0": 12, "1": 4}


def test_least_conn_avoids_a_backend_that_is_busy(
    start: Callable[..., Proxy], backends: list[Upstream]
) -> None:
    for algo in ("least_conn",):
        proxy = start(f'algo = "{algo}"')
        go = threading.Event()
        for number, backend in enumerate(backends):
            backend.reply("/slow", f"{number}", until=go)
        before = sum(len(backend.requests) for backend in backends)
        slow = [proxy.connect() for _ in range(2)]
        for client in slow:
            client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: sum(len(one.requests) for one in backends) == before + 2)  # noqa: B023
        flying = [peer.in_flight for peer in upstream_of(proxy).peers]
        assert sum(flying) == 2
        found = Counter(proxy.get("/").text for _ in range(30))
        assert found == {str(flying.index(0)): 30}
        go.set()


# Cookies

STICKY = 'algo = "sticky:backend"\nsticky_secret = "a secret of the tests"'
ISSUED = re.compile(r"(backend=[\w-]{22}); Path=/; HttpOnly; SameSite=Lax(; Secure)?")


def cookie(answer: Answer) -> str:
    (line,) = answer.header_all("set-cookie")
    match = ISSUED.fullmatch(line)
    assert match
    return match[1]


def test_a_cookie_brings_a_client_back(start: Callable[..., Proxy]) -> None:
    proxy = start(STICKY)
    first = proxy.get("/")
    assert first.header_all("cache-control") == ["private"]  # or a cache would share it
    headers = {"Cookie": f"a=b; {cookie(first)}"}
    for _ in range(6):
        again = proxy.get("/", headers=headers)
        assert again.text == first.text
        assert again.header("set-cookie") is None
        assert again.header("cache-control") is None
    assert {proxy.get("/").text for _ in range(6)} == {"0", "1", "2"}


def test_a_cookie_survives_a_restart_and_serves_other_proxies(start: Callable[..., Proxy]) -> None:
    first = start(STICKY).get("/")
    headers = {"Cookie": cookie(first)}
    other = start(STICKY)
    assert {other.get("/", headers=headers).text for _ in range(4)} == {first.text}


def test_a_client_whose_backend_is_away_gets_another_one(start: Callable[..., Proxy]) -> None:
    proxy = start(STICKY)
    first = proxy.get("/")
    block(proxy, int(first.text))
    second = proxy.get("/", headers={"Cookie": cookie(first)})
    assert second.text != first.text
    unblock(proxy, int(first.text))
    third = proxy.get("/", headers={"Cookie": cookie(second)})
    assert (third.text, third.header("set-cookie")) == (second.text, None)


@pytest.mark.parametrize("value", ["", "x", "backend", "A" * 22, "A" * 5000])
def test_a_cookie_that_was_not_issued_is_replaced(start: Callable[..., Proxy], value: str) -> None:
    assert cookie(start(STICKY).get("/", headers={"Cookie": f"backend={value}"}))


@pytest.mark.parametrize(("scheme", "secure"), [("http", False), ("https", True)])
def test_a_cookie_is_secure_where_the_client_came_by_https(
    start: Callable[..., Proxy], scheme: str, secure: bool
) -> None:
    answer = start(STICKY).get("/", headers={"X-Forwarded-Proto": scheme})
    assert ("Secure" in (answer.header("set-cookie") or "")) is secure


def test_errors_of_backends_give_a_cookie_too_and_those_of_the_proxy_do_not(
    start: Callable[..., Proxy], backends: list[Upstream]
) -> None:
    for backend in backends:
        backend.reply("/bad", status=500)
        backend.raw("/cut", b"HTTP/1.1 2")
    proxy = start(STICKY)
    assert cookie(proxy.get("/bad"))
    answer = proxy.get("/cut")
    assert (answer.status, answer.header("set-cookie")) == (502, None)


def test_the_cookie_is_that_of_the_backend_that_answered(
    start: Callable[..., Proxy], backends: list[Upstream]
) -> None:
    backends[0].close()
    proxy = start(STICKY, location="max_retries = 2")
    answers = [proxy.get("/") for _ in range(6)]
    assert {answer.text for answer in answers} == {"1", "2"}
    for answer in answers:
        assert proxy.get("/", headers={"Cookie": cookie(answer)}).text == answer.text


# Backups, and nobody at all


def test_a_backup_serves_while_nobody_else_can(
    start: Callable[..., Proxy], backends: list[Upstream]
) -> None:
    first, second, third = (backend.addr for backend in backends)
    proxy = start(addrs=[f"{first} 2", second, f"{third} backup"])
    assert {proxy.get("/").text for _ in range(6)} == {"0", "1"}
    block(proxy, 0, 1)
    assert {proxy.get("/").text for _ in range(6)} == {"2"}
    unblock(proxy, 1)
    assert {proxy.get("/").text for _ in range(6)} == {"1"}


def test_a_backup_serves_when_an_attempt_has_failed(
    start: Callable[..., Proxy], backends: list[Upstream]
) -> None:
    backends[0].close()
    addrs = [backends[0].addr, f"{backends[1].addr} 1 backup"]
    proxy = start(addrs=addrs, location="max_retries = 1")
    assert {proxy.get("/").text for _ in range(4)} == {"1"}


def test_nobody_is_503_at_once_with_a_time_to_come_again(start: Callable[..., Proxy]) -> None:
    proxy = start()
    block(proxy, 0, 1, 2)
    answer = proxy.get("/")
    assert (answer.status, answer.header("retry-after")) == (503, "5")
    unblock(proxy, 1)
    assert proxy.get("/").text == "1"


def test_panic_sends_requests_nevertheless(start: Callable[..., Proxy]) -> None:
    proxy = start("panic_threshold = 50")
    block(proxy, 0)
    assert {proxy.get("/").text for _ in range(6)} == {"1", "2"}
    block(proxy, 1, 2)
    assert {proxy.get("/").text for _ in range(6)} == {"0", "1", "2"}


# Slow start


def test_a_backend_that_comes_back_starts_slowly(start: Callable[..., Proxy], clock: Clock) -> None:
    proxy = start('slow_start = "1000s"')

    def share() -> float:
        with proxy.connect() as client:
            return [client.get("/").text for _ in range(150)].count("0") / 150

    assert share() == pytest.approx(1 / 3)
    block(proxy, 0)
    assert share() == 0
    unblock(proxy, 0)
    assert share() < 0.05
    clock.advance(500)
    assert 0.08 < share() < 0.32  # 0.2 is its share of the weights
    clock.advance(500)
    assert share() == pytest.approx(1 / 3)


# What is in flight


def in_flight(proxy: Proxy) -> int:
    proxy.settle()
    counts = [peer.in_flight for peer in upstream_of(proxy).peers]
    assert min(counts, default=0) >= 0
    return sum(counts)


def test_requests_in_flight_are_counted_until_they_end(
    start: Callable[..., Proxy], backends: list[Upstream]
) -> None:
    go = threading.Event()
    for backend in backends:
        backend.reply("/slow", "done", until=go)
        backend.websocket("/chat")
        backend.raw("/cut", b"HTTP/1.1 2")
        backend.raw("/half", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
    proxy = start()
    proxy.get("/")
    assert in_flight(proxy) == 0
    with proxy.connect() as client:
        client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: in_flight(proxy) == 1)
        go.set()
        assert client.answer().text == "done"
        assert in_flight(proxy) == 0
    assert proxy.get("/cut").status == 502
    assert in_flight(proxy) == 0
    assert not proxy.get("/half").complete
    until(lambda: in_flight(proxy) == 0)


def test_a_client_that_leaves_is_counted_once(
    start: Callable[..., Proxy], backends: list[Upstream]
) -> None:
    go = threading.Event()
    for backend in backends:
        backend.reply("/slow", until=go)
    proxy = start()
    with proxy.connect() as client:
        client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: in_flight(proxy) == 1)
    until(lambda: in_flight(proxy) == 0)
    go.set()


def test_attempts_that_fail_are_counted_once(
    start: Callable[..., Proxy], backends: list[Upstream]
) -> None:
    for backend in backends[:2]:
        backend.close()
    for algo in ("least_conn", "p2c"):
        proxy = start(f'algo = "{algo}"', location="max_retries = 2")
        assert {proxy.get("/").text for _ in range(5)} == {"2"}
        assert in_flight(proxy) == 0
    proxy = start()
    statuses = Counter(proxy.get("/").status for _ in range(6))
    assert statuses == {200: 2, 502: 4}
    assert in_flight(proxy) == 0


def test_a_kept_connection_that_ended_is_no_failure_of_its_backend(
    start: Callable[..., Proxy], backends: list[Upstream]
) -> None:
    def script(served: Served) -> None:
        if served.read_request() is not None:
            served.respond(b"once")
            served.read_request()

    backends[0].script = script
    proxy = start('algo = "p2c"', addrs=[backends[0].addr])
    with proxy.connect() as client:
        assert [client.get("/").status for _ in range(2)] == [200, 200]
    (peer,) = upstream_of(proxy).peers
    assert backends[0].connections == 2
    assert 0 < peer.latency < 0.5
    before = peer.latency
    backends[0].close()
    assert proxy.get("/").status == 502
    assert peer.latency > before
    assert in_flight(proxy) == 0


def test_a_tunnel_is_in_flight_until_it_ends(
    start: Callable[..., Proxy], backends: list[Upstream]
) -> None:
    for backend in backends:
        backend.websocket("/chat")
    proxy = start()
    with proxy.connect() as client:
        client.send(
            b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert client.read_head().status == 101
        assert in_flight(proxy) == 1
    until(lambda: in_flight(proxy) == 0)


def test_streams_are_in_flight_until_they_end() -> None:
    go = threading.Event()

    def script(served: H2Served) -> None:
        while (request := served.request()) is not None:
            go.wait(10)
            served.respond(request.stream, b"ok")

    with Upstream(h2_script(script)) as origin:
        toml = configure(origin.addr, upstream='alpn = "H2"\nmax_h2_streams = 10')
        with Proxy(toml) as proxy, proxy.connect() as one, proxy.connect() as other:
            for client in (one, other):
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            until(lambda: in_flight(proxy) == 2)
            go.set()
            assert [client.answer().text for client in (one, other)] == ["ok", "ok"]
            assert in_flight(proxy) == 0
            # Replaced by nobody: the connection ends, as it serves nobody.
            (peer,) = upstream_of(proxy).peers
            in_loop(proxy, lambda: upstream_of(proxy).replace_peers(()))
            answer = one.get("/")
            assert (answer.status, answer.header("retry-after")) == (503, "5")
            until(lambda: not peer.shared.connections)


def test_a_stream_ends_before_the_connection_of_a_peer_that_goes() -> None:
    go = threading.Event()

    def script(served: H2Served) -> None:
        while (request := served.request()) is not None:
            go.wait(10)
            served.respond(request.stream, b"ok")

    with Upstream(h2_script(script)) as origin:
        toml = configure(origin.addr, upstream='alpn = "H2"\nmax_h2_streams = 10')
        with Proxy(toml) as proxy, proxy.connect() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            until(lambda: origin.connections == 1 and in_flight(proxy) == 1)
            (peer,) = upstream_of(proxy).peers
            until(lambda: peer.shared.connections)
            in_loop(proxy, lambda: upstream_of(proxy).replace_peers(()))
            go.set()
            assert client.answer().text == "ok"
            until(lambda: not peer.shared.connections)


# Other backends


def peers_for(*backends: Upstream) -> list[Peer]:
    return [Peer(backend.addr, ("127.0.0.1", backend.port), backend.addr) for backend in backends]


def test_peers_are_replaced_without_a_request_noticing(
    start: Callable[..., Proxy], backends: list[Upstream]
) -> None:
    go = threading.Event()
    backends[0].reply("/slow", "done", until=go)
    proxy = start(addrs=[backends[0].addr, backends[1].addr])
    upstream = upstream_of(proxy)
    with proxy.connect() as client:
        for _ in range(2):
            client.get("/")
        gone, stays = upstream.peers
        assert (len(gone.idle), len(stays.idle)) == (1, 1)
        stays.block("test")
        sender = threading.Thread(target=lambda: answers.append(client.get("/slow")))
        answers: list[Answer] = []
        sender.start()
        backends[0].wait_for_request(2)
        in_loop(proxy, lambda: upstream.replace_peers(peers_for(backends[1], backends[2])))
        assert upstream.peers[0] is stays
        assert stays.obstacles == {"test"}
        assert {proxy.get("/").text for _ in range(3)} == {"2"}
        go.set()
        sender.join(10)
        assert answers[0].text == "done"
        assert gone.in_flight == 0
        assert not gone.idle
        assert gone not in upstream.pool._every_peer()
        in_loop(proxy, lambda: stays.unblock("test"))
        assert {proxy.get("/").text for _ in range(4)} == {"1", "2"}
        assert len(stays.idle) == 1
        in_loop(proxy, lambda: upstream.replace_peers(peers_for(*backends)))
        assert {proxy.get("/").text for _ in range(6)} == {"0", "1", "2"}


def test_idle_connections_of_a_peer_that_goes_are_closed(
    start: Callable[..., Proxy], backends: list[Upstream]
) -> None:
    proxy = start(addrs=[backends[0].addr])
    assert proxy.get("/").text == "0"
    (gone,) = upstream_of(proxy).peers
    assert len(gone.idle) == 1
    in_loop(proxy, lambda: upstream_of(proxy).replace_peers(peers_for(backends[1])))
    until(lambda: not backends[0]._open)
    assert proxy.get("/").text == "1"


def test_a_peer_that_is_found_later_starts_slowly(
    start: Callable[..., Proxy], backends: list[Upstream]
) -> None:
    proxy = start('slow_start = "1000s"', addrs=[backends[0].addr])
    in_loop(proxy, lambda: upstream_of(proxy).replace_peers(peers_for(*backends[:2])))
    assert [proxy.get("/").text for _ in range(20)].count("1") < 4


def test_a_weight_can_change_without_another_peer(
    start: Callable[..., Proxy], backends: list[Upstream]
) -> None:
    proxy = start(addrs=[backends[0].addr, backends[1].addr])
    before = upstream_of(proxy).peers
    heavy = peers_for(*backends[:2])
    heavy[0].weight = 3
    in_loop(proxy, lambda: upstream_of(proxy).replace_peers(heavy))
    assert upstream_of(proxy).peers == before
    assert Counter(proxy.get("/").text for _ in range(8)) == {"0": 6, "1": 2}
