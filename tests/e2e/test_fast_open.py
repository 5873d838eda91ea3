"""TCP Fast Open towards upstreams: what leaves with the SYN, and a SYN that is not accepted."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.certificates import issue
from support.h2_origin import H2Served, h2_script
from support.network import SERVERS, Network, full_backlog, private_network, refusing_port
from support.origin import echo
from support.process import Process
from support.rig import configure
from support.tls import TlsOrigin
from support.waiting import until

from pingap.testing import Answer, Proxy, Served, Upstream

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it for clients")

ON = "tcp_fast_open = true\n"
TLS = 'sni = "origin.test"\nverify_cert = false\n'
HTTP2 = 'alpn = "H2"\n'
RETRY = "max_retries = 1"


@pytest.fixture
def network() -> Iterator[Network]:
    """A network in which the cookie of the loopback is known."""
    with private_network() as network:
        network.remember("127.0.0.1")
        yield network


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port that refuses connections; after ``network``, if that is wanted."""
    with refusing_port() as port:
        yield port


def once(served: Served) -> None:
    """Answer one request, and end."""
    served.read_request()
    served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


def ask(proxy: Proxy, method: str = "GET", body: bytes = b"") -> Answer:
    with proxy.connect() as client:
        return client.request(method, "/", body=body)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    """Start a proxy in front of addresses."""
    with ExitStack() as stack:

        def start(*addrs: str, upstream: str = ON, **settings: str) -> Proxy:
            toml = configure(*addrs, upstream=upstream, **settings)
            return stack.enter_context(Proxy(toml))

        yield start


Start = Callable[..., Proxy]


@pytest.mark.parametrize("upstream", [ON, ""])
def test_a_request_that_may_be_repeated_leaves_with_the_syn(
    network: Network, start: Start, upstream: str
) -> None:
    with Upstream(once) as origin:
        proxy = start(origin.addr, upstream=upstream)
        for method in ("GET", "HEAD", "DELETE"):
            assert ask(proxy, method).status == 200
        assert network.accepted_with_data == (3 if upstream else 0)
        # A SYN may come twice, and a body cannot be sent again.
        for method, body in (("POST", b""), ("POST", b"abc"), ("PUT", b"abc")):
            assert ask(proxy, method, body).status == 200
        assert network.accepted_with_data == (3 if upstream else 0)
        assert origin.connections == 6


def test_a_head_that_does_not_fit_into_a_packet(network: Network, start: Start) -> None:
    large = b"x" * 100_000
    with Upstream(echo) as origin, start(origin.addr, server='max_header_size = "256KiB"') as proxy:
        with proxy.connect() as client:
            assert client.get("/", headers={"x-large": large.decode()}).status == 200
        assert origin.requests[0].header("x-large") == large.decode()
        assert network.accepted_with_data == 1


def test_the_proxy_protocol_leaves_with_the_syn(network: Network, start: Start) -> None:
    def script(served: Served) -> None:
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            data += served.receive()
        assert data.startswith(b"PROXY TCP4 127.0.0.1 ")
        assert b"\r\nGET / HTTP/1.1\r\n" in data
        served.respond(b"ok")

    with (
        Upstream(script) as origin,
        start(origin.addr, upstream=ON + 'proxy_protocol = "v1"') as proxy,
    ):
        assert ask(proxy).body == b"ok"
        assert network.accepted_with_data == 1


def test_tls_begins_with_the_syn(network: Network, start: Start, tmp_path: Path) -> None:
    own = issue("origin.test").write(tmp_path, "origin")
    with TlsOrigin(own, echo) as origin, start(origin.addr, upstream=ON + TLS) as proxy:
        assert ask(proxy, "POST", b"abc").body == b"abc"
        assert network.accepted_with_data == 1


def test_http2_begins_with_the_syn(network: Network, start: Start) -> None:
    def serve(served: H2Served) -> None:
        while (request := served.request()) is not None:
            served.respond(request.stream, request.body)

    with Upstream(h2_script(serve)) as origin, start(origin.addr, upstream=ON + HTTP2) as proxy:
        assert ask(proxy, "POST", b"abc").body == b"abc"
        assert network.accepted_with_data == 1


@pytest.mark.parametrize("more", ["", TLS, HTTP2])
def test_a_refused_syn_is_a_failed_connect(
    network: Network, start: Start, free_port: int, more: str
) -> None:
    proxy = start(f"127.0.0.1:{free_port}", upstream=ON + more)
    for method, body in (("GET", b""), ("POST", b"abc")):
        assert ask(proxy, method, body).status == 502
    refused = "cannot be reached: Connection refused (ConnectRefused)"
    until(lambda: proxy.log.count(refused) == 2, "it was not told")
    assert " ERROR " not in proxy.log


@pytest.mark.parametrize("more", ["", TLS, HTTP2])
def test_after_a_refused_syn_another_backend_is_asked(
    network: Network, start: Start, tmp_path: Path, free_port: int, more: str
) -> None:
    def serve(served: H2Served) -> None:
        while (request := served.request()) is not None:
            served.respond(request.stream, request.body or b"ok")

    own = issue("origin.test").write(tmp_path, "origin")
    origin = (
        TlsOrigin(own, echo)
        if more == TLS
        else Upstream(h2_script(serve) if more == HTTP2 else echo)
    )
    with origin:
        # (By default only a connect that failed is repeated, which is what it has to be.)
        proxy = start(f"127.0.0.1:{free_port}", origin.addr, upstream=ON + more, location=RETRY)
        for number in range(20):
            body = os.urandom(2000) if number % 2 else b""
            answer = ask(proxy, "POST" if body else "GET", body)
            assert (answer.status, answer.body) == (200, body or b"ok")
        assert "Connection refused" in proxy.wait_for_log("ConnectRefused")
    assert network.accepted_with_data >= 1


@pytest.mark.parametrize("more", ["", TLS, HTTP2])
@pytest.mark.parametrize("limit", ["connection_timeout", "total_connection_timeout"])
def test_a_syn_without_an_answer(network: Network, start: Start, more: str, limit: str) -> None:
    with full_backlog() as listener:
        port = listener.getsockname()[1]
        proxy = start(f"127.0.0.1:{port}", upstream=f'{ON}{more}{limit} = "300ms"\n')
        assert ask(proxy).status == 504
        if more == TLS and limit == "total_connection_timeout":
            proxy.wait_for_log("in time (")  # whichever limit is looked at first
        else:
            proxy.wait_for_log("did not accept a connection in time (ConnectTimedout)")


def test_without_a_limit_for_the_syn_that_for_the_answer_counts(
    network: Network, start: Start
) -> None:
    with full_backlog() as listener, Upstream(echo) as origin:
        addr = f"127.0.0.1:{listener.getsockname()[1]}"
        upstream = f'{ON}read_timeout = "1s"'
        proxy = start(addr, origin.addr, upstream=upstream, location=RETRY)
        assert [ask(proxy).body for _ in range(4)] == [b"ok"] * 4
        proxy.wait_for_log("did not accept a connection in time (ConnectTimedout)")


def test_an_answer_that_is_late_is_not_a_failed_connect(network: Network, start: Start) -> None:
    def late(served: Served) -> None:
        served.read_request()
        served.receive()  # until the proxy has left

    with Upstream(late) as origin:
        upstream = f'{ON}connection_timeout = "100ms"\nread_timeout = "600ms"'
        proxy = start(origin.addr, upstream=upstream, location=RETRY)
        assert ask(proxy).status == 504
        proxy.wait_for_log("did not answer in time (ReadTimedout)")
        assert origin.connections == 1  # it is not repeated
        assert network.accepted_with_data == 1


def test_a_connection_that_is_lost_is_not_a_failed_connect(network: Network, start: Start) -> None:
    def leave(served: Served) -> None:
        served.read_request()

    with Upstream(leave) as origin:
        proxy = start(origin.addr, location=RETRY)
        assert ask(proxy).status == 502
        proxy.wait_for_log("closed the connection unanswered")
        assert origin.connections == network.accepted_with_data == 1


def test_a_system_that_forbids_it_is_told_of(network: Network, tmp_path: Path) -> None:
    network.allow(SERVERS)
    with (
        Upstream(echo) as origin,
        Process(configure(origin.addr, upstream=ON), tmp_path) as proxy,
    ):
        assert "upstreams.origin.tcp_fast_open: has no effect: this system" in proxy.start_text
        assert ask(proxy).body == b"ok"
        assert network.accepted_with_data == 0


def test_without_a_cookie_connections_are_made_as_ever(start: Start, free_port: int) -> None:
    with Upstream(once) as origin:
        proxy = start(f"127.0.0.1:{free_port}", origin.addr, location=RETRY)
        assert [ask(proxy).body for _ in range(4)] == [b"ok"] * 4
        proxy.wait_for_log("cannot be reached: Connection refused (ConnectRefused)")
