"""Each kind of check against real servers: what is healthy, and what is said of what is not."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import grpc
import pytest
from support.certificates import issue
from support.grpc_service import GrpcServer
from support.h2_origin import H2Served, h2_script
from support.origin import echo
from support.tls import TlsOrigin

from pingap.config.health_check import parse_health_check
from pingap.testing import Served, Upstream
from pingap.tls.client_context import ClientTls
from pingap.upstream.connections.alpn import Speaks
from pingap.upstream.health.checks import Check, CheckFailed, make_check
from pingap.upstream.health.grpc_check import question, read_answer
from pingap.upstream.peer import Peer


def peer_of(addr: str) -> Peer:
    host, _, port = addr.rpartition(":")
    address: Any = port if host == "unix" else (host, int(port))
    return Peer("host", address, addr)


def make(url: str, **manner: Any) -> Check:
    settings = parse_health_check(url)
    assert settings is not None
    return make_check(settings, **manner)


def outcome(url: str, *addrs: str, times: int = 1, **manner: Any) -> list[str]:
    """Check backends; return what was said of each, empty if it is healthy."""

    async def run() -> list[str]:
        check, said = make(url, **manner), []
        peers = tuple(map(peer_of, addrs))
        for peer in peers * times:
            try:
                await check(peer)
            except CheckFailed as error:
                said.append(str(error))
            else:
                said.append("")
        await check.keep(())
        return said

    return anyio.run(run)


@pytest.fixture
def origin() -> Iterator[Upstream]:
    with Upstream() as origin:
        yield origin


@pytest.fixture
def refusing() -> Iterator[str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{sock.getsockname()[1]}"


@pytest.fixture
def silent() -> Iterator[str]:
    """Accepts connections and says nothing: a backend that is frozen."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield f"127.0.0.1:{sock.getsockname()[1]}"


@pytest.fixture
def not_accepting() -> Iterator[str]:
    """Answers no SYN: its backlog is full."""
    with socket.socket() as listener, socket.socket() as one, socket.socket() as two:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for waiting in (one, two):
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


# By TCP.


def test_tcp_needs_a_connection(origin: Upstream, refusing: str, tmp_path: Path) -> None:
    with Upstream(path=str(tmp_path / "s")) as local:
        missing = f"unix:{tmp_path / 'none'}"
        said = outcome("tcp://x", origin.addr, refusing, local.addr, missing)
    assert said == ["", "Connection refused", "", "No such file or directory"]
    assert origin.requests == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full backlog refuses")
@pytest.mark.parametrize("scheme", ["tcp", "http", "https", "grpc"])
def test_a_connection_has_to_be_made_in_time(scheme: str, not_accepting: str) -> None:
    said = outcome(f"{scheme}://x?connection_timeout=200ms", not_accepting)
    assert said == ["no connection within 0.2 s"]


@pytest.mark.parametrize(
    ("version", "header"), [("v1", b"PROXY UNKNOWN\r\n"), ("v2", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")]
)
def test_a_backend_that_expects_a_proxy_header_gets_one(version: str, header: bytes) -> None:
    begun: list[bytes] = []

    def script(served: Served) -> None:
        begun.append(served.read_exactly(len(header)))
        if served.read_request() is not None:
            served.respond()

    with Upstream(script) as origin:
        assert outcome("tcp://x", origin.addr, proxy_protocol=version) == [""]
        assert outcome("http://x", origin.addr, proxy_protocol=version) == [""]
    assert begun == [header] * 2


# By HTTP.


def test_http_asks_for_the_path(origin: Upstream, tmp_path: Path) -> None:
    url = "http://app.test:81/health?query.full=1"
    with Upstream(path=str(tmp_path / "s")) as local:
        assert outcome(url, origin.addr, local.addr) == ["", ""]
        assert local.received_once().target == "/health?full=1"
    request = origin.received_once()
    assert (request.method, request.target) == ("GET", "/health?full=1")
    assert request.header("host") == "app.test"
    assert request.header("connection") == "close"


@pytest.mark.parametrize(
    ("parameters", "status", "said"),
    [
        ("", 200, ""),
        ("", 204, "status 204"),
        ("", 500, "status 500"),
        ("status=200-299,301", 204, ""),
        ("status=200-299,301", 301, ""),
        ("status=200-299,301", 302, "status 302"),
        ("status=503", 200, "status 200"),
    ],
)
def test_http_needs_a_good_status(
    parameters: str, status: int, said: str, origin: Upstream
) -> None:
    origin.reply("/h", b"", status)
    assert outcome(f"http://x/h?{parameters}", origin.addr) == [said]


def test_http_needs_a_text_if_one_is_wanted(origin: Upstream) -> None:
    url = "http://x/h?body=w%C3%B6rd"
    origin.reply("/h", ["a w\N{LATIN SMALL LETTER O WITH DIAERESIS}".encode(), b"rd b"])
    assert outcome(url, origin.addr) == [""]
    origin.reply("/h", b"word")
    assert outcome(url, origin.addr) == ['"wörd" is not in the body']


def test_a_body_is_looked_at_so_far_and_no_further(origin: Upstream) -> None:
    late = 64 * 1024 - 3
    origin.reply("/in", b"." * late + b"end" + b"." * 100_000)
    origin.reply("/out", b"." * (late + 1) + b"end")
    assert outcome("http://x/in?body=end", origin.addr) == [""]
    assert outcome("http://x/out?body=end", origin.addr) == ['"end" is not in the body']
    origin.stream("/endless", lambda: iter(lambda: b"x" * 10_000, None))
    assert outcome("http://x/endless?body=end", origin.addr) == ['"end" is not in the body']


@pytest.mark.parametrize(
    "sent",
    [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"],
    ids=["nothing", "some of a head", "some of a body"],
)
def test_an_answer_has_to_come_in_time(sent: bytes) -> None:
    def script(served: Served) -> None:
        served.read_request()
        served.send(sent)
        served.read_to_end()

    with Upstream(script) as origin:
        said = outcome("http://x?read_timeout=200ms&body=z", origin.addr)
    assert said == ["no answer within 0.2 s"]


def test_an_answer_that_trickles_is_not_waited_for(origin: Upstream) -> None:
    origin.stream("/h", lambda: iter(lambda: b"x", None), pause=0.05)
    said = outcome("http://x/h?connection_timeout=200ms&read_timeout=200ms&body=z", origin.addr)
    assert said == ["no answer within 0.2 s"]


@pytest.mark.parametrize("sent", [b"", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_what_is_no_answer_is_told(sent: bytes, refusing: str) -> None:
    def script(served: Served) -> None:
        served.read_request()
        served.send(sent)

    with Upstream(script) as origin:
        said = outcome("http://x", origin.addr, refusing)
    assert said[0]
    assert said[1] == "Connection refused"


@pytest.mark.parametrize(
    ("parameters", "connections"), [("", 3), ("?reuse", 1), ("?reuse=false", 3)]
)
def test_a_connection_is_kept_if_that_is_wanted(
    parameters: str, connections: int, origin: Upstream
) -> None:
    assert outcome(f"http://x/{parameters}", origin.addr, times=3) == [""] * 3
    assert origin.connections == connections
    assert len(origin.requests) == 3


def test_kept_connections_of_backends_that_are_gone_are_closed() -> None:
    ended = threading.Event()

    def script(served: Served) -> None:
        while served.read_request() is not None:
            served.respond()
        ended.set()

    async def check_and_go(addr: str) -> None:
        check, peer = make("http://x?reuse"), peer_of(addr)
        await check(peer)
        await check.keep((peer,))
        assert not ended.is_set()
        await check.keep(())
        assert await anyio.to_thread.run_sync(ended.wait, 5)

    with Upstream(script) as origin:
        anyio.run(check_and_go, origin.addr)


def test_https_names_the_host_and_believes_everybody(tmp_path: Path, silent: str) -> None:
    own = issue("other.test").write(tmp_path, "own")
    with TlsOrigin(own) as origin:
        assert outcome("https://app.test/h", origin.addr) == [""]
        assert origin.names == ["app.test"]
        assert origin.received_once().header("host") == "app.test"
    said = outcome("https://x?connection_timeout=200ms", silent)
    assert said == ["no connection within 0.2 s"]


# As requests do.


def h2_answers(served: H2Served) -> None:
    while (request := served.request()) is not None:
        assert "connection" not in dict(request.heads[0])
        served.respond(request.stream, request.header(":authority").encode())  # type: ignore[union-attr]


def test_http2_is_spoken_as_to_the_upstream() -> None:
    with Upstream(h2_script(h2_answers)) as origin:
        url = "http://app.test/h?body=app.test"
        assert outcome(url, origin.addr, times=2, speaks=Speaks.HTTP2) == ["", ""]
        assert outcome(url + "&reuse", origin.addr, times=2, speaks=Speaks.HTTP2) == ["", ""]
        assert origin.connections == 3
        assert origin.errors == []


@pytest.mark.parametrize("speaks", [Speaks.EITHER, Speaks.HTTP2])
@pytest.mark.parametrize("offered", ["h2", "http/1.1"])
def test_by_tls_the_backend_chooses(tmp_path: Path, speaks: Speaks, offered: str) -> None:
    script = h2_script(h2_answers) if offered == "h2" else echo
    with TlsOrigin(issue("app.test").write(tmp_path, "own"), script) as origin:
        origin.context.set_alpn_protocols([offered])
        assert outcome("https://x/h", origin.addr, speaks=speaks) == [""]
        assert origin.errors == []


def test_tls_is_that_of_requests(tmp_path: Path) -> None:
    """Its SNI, its trust, its client certificate; and its own ALPN is not touched."""
    root, clients = issue(ca=True, common_name="root"), issue(ca=True, common_name="clients")
    own = issue(by=clients)
    pem = (own.key + own.cert).encode()
    with TlsOrigin(issue("app.test", by=root).write(tmp_path, "own"), clients=clients) as origin:

        def said(url: str, name: str = "app.test", **more: Any) -> str:
            tls = ClientTls(name, **{"authorities": root.cert, "certificate": pem, **more})
            return outcome(url, origin.addr, tls=tls)[0]

        for url in ("https://x/h", "tcp://x?tls"):
            assert said(url) == ""
            assert "ostname mismatch" in said(url, "other.test")
            assert "local issuer" in said(url, authorities=clients.cert)
            assert said(url, "other.test", verify=False) == ""
        assert said("https://x/h", certificate=b"") != ""
    assert set(origin.names) == {"app.test", "other.test"}


def test_tcp_by_tls_without_tls_of_the_upstream(tmp_path: Path, silent: str) -> None:
    with TlsOrigin(issue("app.test").write(tmp_path, "own")) as origin:
        assert outcome("tcp://any.test?tls", origin.addr) == [""]
        assert origin.names == ["any.test"]
    said = outcome("tcp://x?tls&connection_timeout=200ms", silent)
    assert said == ["no connection within 0.2 s"]
    with Upstream(lambda served: served.send(b"SSH-2.0\r\n")) as plain:
        assert outcome("tcp://x?tls", plain.addr) != [""]


# By gRPC.


@pytest.fixture(scope="module")
def server() -> Iterator[GrpcServer]:
    with GrpcServer() as server:
        yield server


def test_grpc_asks_the_health_service(server: GrpcServer) -> None:
    server.service.health = {b"": b"\x08\x01", b"\x0a\x03a.B": b"\x08\x02", b"\x0a\x03a.C": b""}
    assert outcome("grpc://app.test", server.addr, times=2) == ["", ""]
    assert outcome("grpc://x?service=a.B", server.addr) == ["the service is NOT_SERVING"]
    assert outcome("grpc://x?service=a.C", server.addr) == ["the service is UNKNOWN"]
    assert outcome("grpc://x?service=n", server.addr) == ["gRPC status 5 no such service"]


def test_grpc_keeps_its_connection_if_that_is_wanted(server: GrpcServer) -> None:
    assert outcome("grpc://x?reuse", server.addr, times=3) == [""] * 3


def test_grpc_by_tls(tmp_path: Path) -> None:
    own = issue("app.test")
    credentials = grpc.ssl_server_credentials([(own.key.encode(), own.cert.encode())])
    with GrpcServer(credentials) as server:
        assert outcome("grpc://app.test?tls", server.addr) == [""]
        assert outcome("grpc://app.test", server.addr) != [""]


def test_grpc_has_limits(silent: str, refusing: str) -> None:
    def script(served: Served) -> None:
        served.receive()
        served.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    assert outcome("grpc://x?read_timeout=200ms", silent) == ["no answer within 0.2 s"]
    assert outcome("grpc://x", refusing) == ["Connection refused"]
    with Upstream(script) as origin:
        assert outcome("grpc://x", origin.addr) != [""]


def test_the_question_names_a_service_of_any_length() -> None:
    assert question("") == b"\0\0\0\0\0"
    assert question("a") == b"\0\0\0\0\x03\x0a\x01a"
    assert question("x" * 200) == b"\0\0\0\0\xcb\x0a\xc8\x01" + b"x" * 200


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\0\0", b"\0\0\0\0\x02\x08", b"\1\0\0\0\x02\x08\1"),
        *(b"\0\0\0\0\x02\x10\1", b"\0\0\0\0\x03\x08\x81\1", b"\0\0\0\0\x01\x08"),
    ],
)
def test_other_answers_are_refused(data: bytes) -> None:
    with pytest.raises(CheckFailed):
        read_answer(data)
