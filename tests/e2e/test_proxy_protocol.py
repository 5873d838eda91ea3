"""The PROXY protocol: from proxies in front of us, and towards upstreams."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.certificates import issue
from support.h2 import PREFACE, H2Client, settings
from support.process import Process
from support.rig import Rig, configure, running, running_process
from support.tls import TlsClient, TlsOrigin, client_context
from support.waiting import until

from pingap.protocol.proxy_protocol import SIGNATURE, ProxyHeader, ProxyHeaderDecoder, proxy_header
from pingap.testing import Served

TRUSTED = 'trusted_proxies = ["127.0.0.0/8"]'
SERVER = 'proxy_protocol = true\naccess_log = "{remote} {client_ip} {uri} {status}"\n'
ADDRESS = 'proxy_set_headers = ["X-Addr: $remote_addr", "X-Port: $remote_port"]'

V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 4321 80\r\n"
V2 = proxy_header("v2", ("2001:db8::7", 4321), ("2001:db8::1", 80))
LOCAL = SIGNATURE + b"\x20\0\0\0"
GET = b"GET /it HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def start() -> Iterator[Callable[..., Rig]]:
    with ExitStack() as stack:

        def start(server: str = "", **more: str) -> Rig:
            more = {"basic": TRUSTED, "location": ADDRESS, **more}
            return stack.enter_context(running(server=SERVER + server, **more))

        yield start


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    server = SERVER + "enabled_h2 = true\n"
    with running(server=server, basic=TRUSTED, location=ADDRESS) as started:
        yield started


def seen(rig: Rig) -> tuple[str | None, str | None]:
    """Return what the origin was told of the client, last."""
    request = rig.origin.requests[-1]
    return request.header("x-addr"), request.header("x-port")


@pytest.mark.parametrize(
    ("header", "client"), [(V1, ("192.0.2.7", "4321")), (V2, ("2001:db8::7", "4321"))]
)
@pytest.mark.parametrize("cut", [0, 1, 20])
def test_the_client_is_the_one_in_the_header(
    rig: Rig, header: bytes, client: tuple[str, str], cut: int
) -> None:
    with rig.connect() as raw:
        raw.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.send(header[:cut])
        raw.send(header[cut:] + GET)
        assert raw.answer().status == 200
        assert raw.get("/again").status == 200  # the header counts for the whole connection
    assert seen(rig) == client
    rig.proxy.wait_for_log(f"{client[0]} {client[0]} /again 200")


@pytest.mark.parametrize("header", [LOCAL, b"PROXY UNKNOWN\r\n"])
def test_a_connection_of_the_proxy_itself_keeps_its_address(rig: Rig, header: bytes) -> None:
    with rig.connect() as raw:
        raw.send(header + GET)
        assert raw.answer().status == 200
        assert seen(rig) == ("127.0.0.1", str(raw.sock.getsockname()[1]))


def test_forwarding_headers_of_a_client_are_not_believed(rig: Rig) -> None:
    with rig.connect() as raw:
        raw.send(V1 + GET.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"))
        assert raw.answer().status == 200
    rig.proxy.wait_for_log("192.0.2.7 192.0.2.7 /it 200")


@pytest.mark.parametrize("start", [GET, b"PROXY TCP4 1.2.3.4\r\n" + GET, PREFACE, b"\x16\x03\x01"])
def test_a_connection_without_a_header_is_closed(rig: Rig, start: bytes) -> None:
    with rig.connect() as raw:
        raw.send(start)
        assert raw.read_to_end() == b""


def test_http2_behind_the_header(rig: Rig) -> None:
    with H2Client(rig.proxy, V2 + PREFACE + settings()) as client:
        assert client.get(1, "/two").status == 200
    assert seen(rig) == ("2001:db8::7", "4321")
    rig.proxy.wait_for_log("2001:db8::7 2001:db8::7 /two 200")


def test_a_proxy_that_is_not_trusted_is_closed(start: Callable[..., Rig]) -> None:
    rig = start(basic='trusted_proxies = ["192.0.2.0/24"]')
    with rig.connect() as raw:
        raw.send(V1 + GET)
        assert raw.read_to_end() == b""
    assert rig.origin.requests == []


@pytest.mark.parametrize("sent", [b"", V1[:-1], V2[:20]])
def test_a_header_that_does_not_come_in_time(start: Callable[..., Rig], sent: bytes) -> None:
    rig = start('head_read_timeout = "300ms"')
    with rig.connect() as raw:
        began = time.monotonic()
        raw.send(sent)
        assert raw.read_to_end() == b""
        assert 0.2 < time.monotonic() - began < 5


def test_a_connection_without_its_header_does_not_delay_the_end(tmp_path: Path) -> None:
    settings = {"server": SERVER, "basic": TRUSTED, "location": ADDRESS}
    with running_process(tmp_path, **settings) as rig, rig.connect() as raw:
        raw.send(V1[:5])
        with rig.connect() as other:
            other.send(V1 + GET)
            assert other.answer().status == 200
        assert rig.proxy.stop() == 0


def test_tls_behind_the_header() -> None:
    root = issue(ca=True, common_name="root")
    leaf = issue("a.test", by=root)
    server = SERVER + "global_certificates = true\nenabled_h2 = true\n"

    class Introduced(TlsClient):
        def __init__(self, proxy: Process) -> None:
            context = client_context(root)

            class Wrapped:
                def wrap_socket(self, sock: socket.socket, **more: object) -> socket.socket:
                    sock.sendall(V1)
                    return context.wrap_socket(sock, **more)  # type: ignore[arg-type]

            super().__init__(proxy, Wrapped(), "a.test")  # type: ignore[arg-type]

    with running(server=server, basic=TRUSTED, location=ADDRESS, more=leaf.toml("leaf")) as rig:
        with Introduced(rig.proxy) as client:
            assert client.get("/tls").status == 200
        assert seen(rig) == ("192.0.2.7", "4321")
        rig.proxy.wait_for_log("192.0.2.7 192.0.2.7 /tls 200")
        with rig.connect() as raw:
            raw.send(GET)
            assert raw.read_to_end() == b""


def test_curl(rig: Rig) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl")
    for more in ((), ("--http2-prior-knowledge",)):
        url = f"http://127.0.0.1:{rig.proxy.port()}/curl"
        command = ["curl", "-sS", "--max-time", "5", "--haproxy-protocol", *more, url]
        assert subprocess.run(command, capture_output=True, check=True).stdout == b"ok"
        assert seen(rig)[0] == "127.0.0.1"


HAPROXY = """
defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen l
  bind 127.0.0.1:{port}
  server s 127.0.0.1:{backend} {send}
"""


@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2"])
def test_haproxy_in_front(rig: Rig, tmp_path: Path, send: str) -> None:
    if (program := shutil.which("haproxy")) is None:
        pytest.skip("no haproxy")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    conf = tmp_path / "haproxy.cfg"
    conf.write_text(HAPROXY.format(port=port, backend=rig.proxy.port(), send=send))
    haproxy = subprocess.Popen([program, "-db", "-f", str(conf)], stderr=subprocess.DEVNULL)
    try:

        def connected() -> socket.socket | None:
            try:
                return socket.create_connection(("127.0.0.1", port), 5, ("127.0.0.2", 0))
            except OSError:
                return None

        found: list[socket.socket] = []
        until(lambda: (sock := connected()) is not None and found.append(sock) is None)
        with found[0] as sock:
            sock.sendall(GET)
            assert sock.recv(1000).startswith(b"HTTP/1.1 200")
            assert seen(rig) == ("127.0.0.2", str(sock.getsockname()[1]))
    finally:
        haproxy.terminate()
        haproxy.wait(5)


# Towards upstreams.


def introduced(headers: list[ProxyHeader]) -> Callable[[Served], None]:
    """Serve connections that begin with a header; note it."""

    def script(served: Served) -> None:
        decoder, found = ProxyHeaderDecoder(), None
        while found is None and (data := served.receive()):
            found = decoder.feed(data)
        if found is None:
            return
        headers.append(found[0])
        served.unread = found[1]
        while (request := served.read_request()) is not None:
            served.respond(request.body or b"ok")

    return script


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_upstream_is_told_of_the_client(version: str) -> None:
    headers: list[ProxyHeader] = []
    upstream = f'proxy_protocol = "{version}"'
    with running(introduced(headers), upstream=upstream) as rig:
        clients = []
        for _ in range(2):
            with rig.connect() as client:
                clients.append(client.sock.getsockname())
                for _ in range(2):
                    assert client.get("/").body == b"ok"
                    assert client.request("POST", "/", body=b"x" * 100_000).body == b"x" * 100_000
        # No connection is used twice, not even for the same client.
        assert [one.source for one in headers] == [client for client in clients for _ in range(4)]
        assert {one.destination for one in headers} == {("127.0.0.1", rig.proxy.port())}
        assert len({request.connection for request in rig.origin.requests}) == 8


def test_the_client_of_a_proxy_in_front_is_told_to_the_upstream(start: Callable[..., Rig]) -> None:
    headers: list[ProxyHeader] = []
    rig = start(upstream='proxy_protocol = "v2"')
    with rig.script(introduced(headers)), rig.connect() as raw:
        raw.send(V1 + GET)
        assert raw.answer().status == 200
    assert [one.source for one in headers] == [("192.0.2.7", 4321)]


def test_the_header_stands_in_front_of_tls(tmp_path: Path) -> None:
    headers: list[bytes] = []
    root = issue(ca=True, common_name="root")
    own = issue("b.test", by=root).write(tmp_path, "b")
    (tmp_path / "root.pem").write_text(root.cert)

    class Behind(TlsOrigin):
        def _serve(self, sock: socket.socket, number: int) -> None:
            headers.append(sock.recv(16, socket.MSG_WAITALL))
            sock.recv(struct.unpack(">H", headers[-1][14:])[0], socket.MSG_WAITALL)
            super()._serve(sock, number)

    upstream = f'proxy_protocol = "v2"\nsni = "b.test"\nupstream_ca = "{tmp_path}/root.pem"'
    with (
        Behind(own) as origin,
        Process(configure(origin.addr, upstream=upstream), tmp_path) as proxy,
    ):
        with proxy.connect() as client:
            assert client.get("/").body == b"ok"
        assert headers[0].startswith(SIGNATURE + b"\x21\x11")
