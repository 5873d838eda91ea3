"""TLS to upstreams: scripted origins, and nginx."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.certificates import Issued, issue
from support.origin import Script, echo
from support.process import Process
from support.rig import configure
from support.tls import TlsOrigin
from support.waiting import until

from pingap.build.registry import installed_registry
from pingap.testing import Answer, Proxy, Served

ROOT = issue(ca=True, common_name="root")
MIDDLE = issue(ca=True, common_name="middle", by=ROOT)
ORIGIN = issue("origin.test", "127.0.0.1", by=MIDDLE)
CLIENTS = issue(ca=True, common_name="clients")
OURS = issue(by=CLIENTS, common_name="proxy")

SNI = 'sni = "origin.test"\nupstream_ca = "root.pem"\n'


class Setup:
    """A TLS origin and proxies in front of it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        (folder / "proxy").mkdir()
        (folder / "proxy" / "root.pem").write_text(ROOT.cert)

    def origin(
        self, issued: Issued = ORIGIN, script: Script = echo, clients: Issued | None = None
    ) -> TlsOrigin:
        own = issued.write(self.folder, "origin")
        return self.stack.enter_context(TlsOrigin(own, script, clients=clients))

    def proxy(self, origin: TlsOrigin | str, upstream: str = SNI, **settings: str) -> Proxy:
        addr = origin if isinstance(origin, str) else origin.addr
        return self.stack.enter_context(Proxy(self.toml(addr, upstream, **settings)))

    def toml(self, addr: str, upstream: str = SNI, **settings: str) -> str:
        """Return a configuration, with the folder in front of the names of files."""
        text = configure(addr, upstream=upstream, **settings)
        return re.sub(r'"(\w+\.(pem|key))"', rf'"{self.folder}/proxy/\1"', text)


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    with ExitStack() as stack:
        yield Setup(tmp_path, stack)


def get(proxy: Proxy) -> Answer:
    with proxy.connect() as client:
        return client.get("/")


def test_requests_by_tls(setup: Setup) -> None:
    origin = setup.origin()
    with setup.proxy(origin).connect() as client:
        for _ in range(3):
            assert client.get("/").body == b"ok"
        body = os.urandom(3_000_000)
        assert client.request("PUT", "/", body=body).body == body
    assert origin.names == ["origin.test"]  # one connection, kept
    assert [request.header("host") for request in origin.requests] == ["test"] * 4


@pytest.mark.parametrize("name", ["127.0.0.1", "origin.test"])
def test_the_name_is_checked_and_may_be_an_address(setup: Setup, name: str) -> None:
    proxy = setup.proxy(setup.origin(), SNI.replace("origin.test", name))
    assert get(proxy).status == 200


@pytest.mark.parametrize(
    ("issued", "upstream", "reason"),
    [
        (ORIGIN, 'sni = "other.test"\nupstream_ca = "root.pem"', "Hostname mismatch"),
        (ORIGIN, 'sni = "origin.test"', "unable to get (?:local )?issuer|self.signed certificate"),
        (
            issue("origin.test", by=MIDDLE, days=(-2, -1)),
            SNI,
            "certificate has expired",
        ),
        (issue("origin.test"), SNI, "self.signed certificate"),
    ],
)
def test_a_certificate_that_cannot_be_believed(
    setup: Setup, issued: Issued, upstream: str, reason: str
) -> None:
    origin = setup.origin(issued)
    proxy = setup.proxy(origin, upstream)
    answer = get(proxy)
    assert (answer.status, answer.header("x-pingap-etype")) == (502, "InvalidCert")
    assert b"certificate" not in answer.body
    assert origin.requests == []
    log = proxy.wait_for_log("failed the TLS handshake: ")
    import re

    assert re.search(f"failed the TLS handshake: .*(?:{reason})", log)


def test_verify_cert_false_takes_anybody(setup: Setup) -> None:
    upstream = 'sni = "other.test"\nverify_cert = false'
    assert get(setup.proxy(setup.origin(issue("a")), upstream)).status == 200


def test_our_certificate(setup: Setup) -> None:
    origin = setup.origin(clients=CLIENTS)
    OURS.write(setup.folder / "proxy", "ours")
    upstream = SNI + 'client_cert = "ours.pem"\nclient_key = "ours.key"'
    assert get(setup.proxy(origin, upstream)).status == 200
    without = setup.toml(origin.addr)
    with Proxy(without) as proxy:
        assert get(proxy).status == 502
    assert len(origin.requests) == 1


def test_sessions_are_resumed(setup: Setup) -> None:
    def once(served: Served) -> None:
        served.read_request()
        served.respond(headers={"Connection": "close"})

    origin = setup.origin(script=once)
    proxy = setup.proxy(origin)
    for _ in range(3):
        assert get(proxy).status == 200
        until(lambda: not origin._open)
    assert origin.resumed[0] is False
    assert origin.resumed[2] is True


def test_an_answer_that_ends_with_the_connection(setup: Setup) -> None:
    def whole(served: Served) -> None:
        served.read_request()
        served.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhole")
        served.sock.unwrap()  # type: ignore[attr-defined]

    proxy = setup.proxy(setup.origin(script=whole))
    answer = get(proxy)
    assert (answer.body, answer.complete) == (b"whole", True)


def test_one_that_ends_without_a_close_of_tls_is_cut(setup: Setup) -> None:
    """Anybody on the way could have ended it (RFC 9112, 9.8)."""

    def cut(served: Served) -> None:
        served.read_request()
        served.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf")

    proxy = setup.proxy(setup.origin(script=cut))
    answer = get(proxy)
    assert (answer.body, answer.complete) == (b"half", False)
    proxy.wait_for_log("ended the connection without closing TLS")


def test_we_end_tls_before_the_connection(setup: Setup) -> None:
    """RFC 9112, 9.8."""
    ended = threading.Event()

    def script(served: Served) -> None:
        assert isinstance(served.sock, ssl.SSLSocket)
        served.sock.suppress_ragged_eofs = False  # then an end without one raises
        assert served.read_request() is not None
        served.respond()
        assert served.receive() == b""
        ended.set()

    origin = setup.origin(script=script)
    assert get(setup.proxy(origin, f'{SNI}idle_timeout = "100ms"')).status == 200
    assert ended.wait(10)
    assert origin.errors == []


def test_a_plain_origin(setup: Setup) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            sock, _ = listener.accept()
            sock.recv(1000)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            sock.close()

        thread = threading.Thread(target=serve)
        thread.start()
        proxy = setup.proxy(f"127.0.0.1:{port}")
        assert get(proxy).status == 502
        thread.join(5)
    proxy.wait_for_log("failed the TLS handshake: wrong version number")


@pytest.mark.parametrize("limit", ["total_connection_timeout", "connection_timeout"])
def test_a_handshake_that_takes_too_long(setup: Setup, limit: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # connects, and says nothing
        upstream = f'{SNI}{limit} = "300ms"\n'
        proxy = setup.proxy(f"127.0.0.1:{listener.getsockname()[1]}", upstream)
        if limit == "total_connection_timeout":
            answer = get(proxy)
            assert (answer.status, answer.header("x-pingap-etype")) == (504, "ConnectTimedout")
            proxy.wait_for_log("did not complete the TLS handshake in time (ConnectTimedout)")
        else:  # which is for TCP alone
            with proxy.connect() as client:
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                client.sock.settimeout(0.8)
                with pytest.raises(TimeoutError):
                    client.receive()
            accepted, _ = listener.accept()
            accepted.close()


def test_an_origin_that_leaves_during_the_handshake(setup: Setup) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def leave() -> None:
            sock, _ = listener.accept()
            sock.close()

        thread = threading.Thread(target=leave)
        thread.start()
        proxy = setup.proxy(f"127.0.0.1:{listener.getsockname()[1]}")
        assert get(proxy).status == 502
        thread.join(5)


def test_a_client_that_leaves_during_the_handshake(setup: Setup) -> None:
    """Nothing is left behind: the connection to the origin is closed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = setup.proxy(f"127.0.0.1:{listener.getsockname()[1]}", SNI)
        client = proxy.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        sock, _ = listener.accept()
        assert sock.recv(1) == b"\x16"
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        sock.settimeout(5)
        try:
            while sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        sock.close()


def test_an_idle_connection_the_origin_ended_is_not_used(setup: Setup) -> None:
    ended = threading.Event()

    def once(served: Served) -> None:
        served.read_request()
        served.respond()
        ended.set()

    origin = setup.origin(script=once)
    with setup.proxy(origin).connect() as client:
        for _ in range(3):
            assert client.get("/").status == 200
            assert ended.wait(5)
            ended.clear()


def test_the_port_is_443_unless_written(start_check: Callable[[str], str]) -> None:
    said = start_check('[upstreams.a]\naddrs = ["127.0.0.1"]\nsni = "a.test"')
    assert said == "127.0.0.1:443"
    assert start_check('[upstreams.a]\naddrs = ["127.0.0.1"]') == "127.0.0.1:80"


@pytest.fixture
def start_check() -> Callable[[str], str]:
    from pingap.build.graph import build
    from pingap.config import parse

    def peer(toml: str) -> str:
        return build(parse(toml), installed_registry()).upstreams["a"].peers[0].text

    return peer


NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {cert}; ssl_certificate_key {key};
    ssl_client_certificate {clients}; ssl_verify_client on;
    root {folder};
    location / {{ add_header X-Client $ssl_client_s_dn; add_header X-Name $ssl_server_name; }}
  }}
}}
"""


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_nginx(setup: Setup) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    folder = setup.folder
    cert, key = ORIGIN.write(folder, "nginx")
    (folder / "clients.pem").write_text(CLIENTS.cert)
    (folder / "large").write_bytes(content := os.urandom(2_000_000))
    (folder / "nginx.conf").write_text(
        NGINX.format(folder=folder, port=port, cert=cert, key=key, clients=folder / "clients.pem")
    )
    OURS.write(folder / "proxy", "ours")
    process = subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)])
    try:
        upstream = SNI + 'client_cert = "ours.pem"\nclient_key = "ours.key"'
        proxy = setup.proxy(f"127.0.0.1:{port}", upstream)
        until(lambda: get(proxy).status != 502)
        with proxy.connect() as client:
            answer = client.get("/large")
            assert answer.body == content
            assert answer.header("x-client") == "CN=proxy"
            assert answer.header("x-name") == "origin.test"
            assert client.get("/none").status == 404
    finally:
        process.terminate()
        process.wait(5)


def test_an_answer_may_overtake_a_request_whose_upstream_resets(setup: Setup) -> None:
    go, gone = threading.Event(), threading.Event()

    def script(served: Served) -> None:
        # (The tickets of TLS 1.3 may wait to be acknowledged.)
        served.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        served.read_head()
        assert go.wait(10)
        served.send(b"HTTP/1.1 413 -\r\nContent-Length: 6\r\nConnection: close\r\n\r\nenough")
        served.reset()
        gone.set()

    origin = setup.origin(script=script)
    with (
        Process(setup.toml(origin.addr), setup.folder / "process") as proxy,
        proxy.connect() as client,
    ):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        until(lambda: origin.requests)
        for worker in proxy.workers:
            os.kill(worker, signal.SIGSTOP)  # so that it finds the body and the answer at once
        client.send(b"x" * 50_000)
        go.set()
        assert gone.wait(10)
        for worker in proxy.workers:
            os.kill(worker, signal.SIGCONT)
        answer = client.answer()
        assert (answer.status, answer.body) == (413, b"enough")
