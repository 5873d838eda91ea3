"""TLS on listeners, spoken to by Python's ssl, curl, openssl, sslscan and testssl."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support import h2
from support.certificates import issue
from support.h2 import H2Client
from support.origin import Script
from support.process import Process
from support.rig import Rig, configure, running, running_process
from support.tls import TlsClient, client_context, end_tls
from support.waiting import until

from pingap.testing import Client, Served, Upstream

ROOT = issue(ca=True, common_name="root")
MIDDLE = issue(ca=True, common_name="middle", by=ROOT)
LEAF = issue("a.test", "*.b.test", by=MIDDLE)
OTHER = issue("other.test", by=ROOT)
CLIENTS = issue(ca=True, common_name="clients")
ALICE = issue(by=CLIENTS, common_name="alice")

TRUSTING = client_context(ROOT)
TABLES = LEAF.toml("leaf") + OTHER.toml("other", "is_default = true")
SERVER = "global_certificates = true\n"


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    log = 'access_log = "{scheme} {proto} {uri} {status} {:tls_version} {:tls_cipher}"\n'
    with running(
        server=SERVER + log,
        location='proxy_set_headers = ["X-Scheme: $scheme", "X-Subject: $tls_client_subject"]',
        more=TABLES,
    ) as rig:
        yield rig
        assert rig.origin.errors == []


@pytest.fixture
def start() -> Iterator[Callable[..., Rig]]:
    """Start a proxy of its own for a test."""
    with ExitStack() as stack:

        def start(server: str = "", **settings: str) -> Rig:
            settings.setdefault("more", TABLES)
            return stack.enter_context(running(server=SERVER + server, **settings))

        yield start


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Start a proxy in processes of its own, for signals and several workers."""
    with ExitStack() as stack:

        def start(server: str = "", **settings: str) -> Rig:
            settings.setdefault("more", TABLES)
            running = running_process(tmp_path, server=SERVER + server, **settings)
            return stack.enter_context(running)

        yield start


def connect(rig: Rig, name: str = "a.test", context: ssl.SSLContext = TRUSTING) -> TlsClient:
    return TlsClient(rig.proxy, context, name)


def connect_by(rig: Rig, *protocols: str) -> TlsClient:
    """Return a connection on which a client offers protocols by ALPN."""
    context = client_context(ROOT)
    context.set_alpn_protocols(list(protocols))
    return connect(rig, context=context)


# The connection.


def test_start_up_names_the_scheme(start_process: Callable[..., Rig]) -> None:
    assert "  https://127.0.0.1:" in start_process().proxy.start_text


def test_requests_on_a_connection(rig: Rig) -> None:
    with connect(rig) as client:
        for number in range(3):
            assert client.get(f"/{number}").body == b"ok"
        assert client.request("POST", "/", body=b"x" * 100_000).body == b"x" * 100_000
        head = rig.origin.requests[-1]
        assert head.header("x-scheme") == "https"
        assert head.header("x-subject") is None
    rig.proxy.wait_for_log("https HTTP/1.1 /2 200 TLSv1.3 TLS_")


@contextmanager
def scripted(rig: Rig, script: Script) -> Iterator[None]:
    """Serve by a script, on connections that are kept as well: those are ended."""
    for sock in list(rig.origin._open):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    with rig.script(script):
        yield


def test_pipelined_requests(rig: Rig) -> None:
    with connect(rig) as client:
        client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
        assert [client.answer().status for _ in range(20)] == [200] * 20


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_large_bodies_both_ways(rig: Rig, version: ssl.TLSVersion) -> None:
    body = os.urandom(5_000_000)
    context = client_context(version=version)
    with connect(rig, context=context) as client:
        assert client.request("PUT", "/", body=body).body == body


def test_a_client_that_reads_slowly_holds_the_origin_back(rig: Rig) -> None:
    sent = 0

    def flood(served: Served) -> None:
        nonlocal sent
        served.read_request()
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        served.sock.settimeout(1)
        try:
            while True:
                sent += served.sock.send(b"x" * 65536)
        except TimeoutError:
            pass

    with scripted(rig, flood), connect(rig) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: sent > 0)
        last = -1
        while last != sent:  # until it stands still for longer than a turn of the flood takes
            last = sent
            time.sleep(0.3)
        assert sent < 30_000_000


def test_an_answer_that_closes_ends_tls_too(rig: Rig) -> None:
    with connect(rig) as client:
        assert client.get("/", headers={"Connection": "close"}).status == 200
        assert client.is_closed()


def test_a_refused_body_is_lingered_for(rig: Rig) -> None:
    """``write_eof`` ends our side; the client still sends and gets its answer."""
    with connect(rig) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        client.send(b"x" * 300_000)
        assert client.answer().status == 400
        assert client.is_closed()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_ended_its_side_gets_its_answer(rig: Rig, version: ssl.TLSVersion) -> None:
    context = client_context(version=version)
    ended = threading.Event()

    def late(served: Served) -> None:
        served.read_request()
        ended.wait(10)
        time.sleep(0.1)  # so that the end of the client comes first to pingap, too
        served.respond(b"late")

    with scripted(rig, late), connect(rig, context=context) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        end_tls(client.sock)
        ended.set()
        assert client.answer().body == b"late"


def test_a_client_that_leaves_cancels_the_request(rig: Rig) -> None:
    gone = []

    def wait(served: Served) -> None:
        served.read_request()
        gone.append(served.receive())

    with scripted(rig, wait):
        client = connect(rig)
        client.send(b"GET /left HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: rig.origin.requests)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        until(lambda: gone == [b""])
    rig.proxy.wait_for_log("/left 499")


def test_an_answer_cut_short_looks_cut(rig: Rig) -> None:
    def half(served: Served) -> None:
        served.read_request()
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        served.reset()

    with scripted(rig, half), connect(rig) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_head()
        with pytest.raises(AssertionError, match="without a close of TLS"):
            client.read_exactly(100)


def test_draining_answers_what_is_under_way(start_process: Callable[..., Rig]) -> None:
    rig = start_process()

    def slow(served: Served) -> None:
        served.read_request()
        until(lambda: "draining" in rig.proxy.log)
        served.respond(b"done")

    handshaking = Client(("127.0.0.1", rig.proxy.port()))
    with rig.script(slow), connect(rig) as client, connect(rig) as idle:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: rig.origin.requests)
        rig.proxy.process.terminate()
        assert client.answer().body == b"done"
        assert client.is_closed()
        assert idle.is_closed()
        assert handshaking.is_closed()
        handshaking.close()
    assert rig.proxy.process.wait(5) == 0


# Certificates.


def test_the_chain_is_sent_and_sni_chooses(rig: Rig) -> None:
    for name, issued in (("a.test", LEAF), ("x.b.test", LEAF), ("other.test", OTHER)):
        with connect(rig, name) as client:  # which trusts the root alone
            assert client.peer == issued.certificate.public_bytes(Encoding.DER)


def test_other_names_and_none_get_the_default(rig: Rig) -> None:
    for name in ("nobody.test", None):
        with TlsClient(rig.proxy, client_context(), name) as client:
            assert client.peer == OTHER.certificate.public_bytes(Encoding.DER)


def test_certificates_signed_on_demand(start: Callable[..., Rig]) -> None:
    rig = start(more=ROOT.toml("ca", 'is_ca = true\nis_default = true\ndomains = "*"'))
    for name in ("shop.example.com", "localhost"):
        with connect(rig, name) as client:
            assert client.get("/").status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed(rig: Rig, version: ssl.TLSVersion) -> None:
    context = client_context(version=version)
    with connect(rig, context=context) as client:
        client.get("/")
        session = client.sock.session
    with TlsClient(rig.proxy, context, "a.test", session) as client:
        assert client.sock.session_reused
        assert client.get("/").status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_reload_exchanges_certificates_and_nothing_else(
    start_process: Callable[..., Rig], version: ssl.TLSVersion
) -> None:
    rig = start_process(basic="threads = 2")
    proxy, context = rig.proxy, client_context(ROOT, version=version)
    renewed = issue("a.test", "*.b.test", by=MIDDLE)
    with connect(rig, context=context) as client:
        assert client.get("/").status == 200
        assert client.peer == LEAF.certificate.public_bytes(Encoding.DER)
        session = client.sock.session
        toml = proxy.conf.read_text()
        assert TABLES in toml
        proxy.conf.write_text(toml.replace(LEAF.toml("leaf"), renewed.toml("leaf")))
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("the configuration was reloaded")
        assert client.get("/").status == 200
        for _ in range(6):  # whichever worker it is
            with connect(rig, context=context) as other:
                assert other.peer == renewed.certificate.public_bytes(Encoding.DER)
        for _ in range(6):
            with TlsClient(proxy, context, "a.test", session) as again:
                assert again.sock.session_reused
                assert again.get("/").status == 200


# Versions, ciphers, protocols.

VERSIONS = {
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}


@pytest.mark.parametrize(
    ("settings", "spoken"),
    [
        ("", "1.2 1.3"),
        ('tls_min_version = "tlsv1.1"', "1.1 1.2 1.3"),
        ('tls_min_version = "TLS1.3"', "1.3"),
        ('tls_max_version = "tls1.2"', "1.2"),
        ('tls_min_version = "tls1.1"\ntls_max_version = "tlsv1.1"', "1.1"),
    ],
)
def test_versions(start: Callable[..., Rig], settings: str, spoken: str) -> None:
    rig = start(settings)
    found = []
    for word, version in VERSIONS.items():
        try:
            with connect(rig, context=client_context(version=version)) as client:
                assert client.get("/").status == 200
                found.append(word)
        except (ssl.SSLError, ConnectionResetError):
            pass
    assert " ".join(found) == spoken


def test_ciphers(start: Callable[..., Rig]) -> None:
    rig = start('tls_cipher_list = "ECDHE-ECDSA-CHACHA20-POLY1305"\ntls_max_version = "tlsv1.2"')
    with connect(rig) as client:
        assert client.sock.cipher() == ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLSv1.2", 256)


def test_alpn(rig: Rig) -> None:
    context = client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with connect(rig, context=context) as client:
        assert client.sock.selected_alpn_protocol() == "http/1.1"


# Certificates of clients.

IDENTITY = """proxy_set_headers = ["X-Subject: $tls_client_subject", \
"X-Fingerprint: $tls_client_fingerprint"]"""


def verifying(start: Callable[..., Rig], tmp_path: Path, how: str) -> Rig:
    (tmp_path / "clients.pem").write_text(CLIENTS.cert)
    return start(
        f'tls_verify_client = "{how}"\ntls_client_ca = "{tmp_path}/clients.pem"\n'
        'access_log = "<{:tls_client_subject}> {:tls_client_fingerprint}."',
        location=IDENTITY,
    )


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("how", ["optional", "require"])
def test_the_certificate_of_a_client(
    start: Callable[..., Rig], tmp_path: Path, how: str, version: ssl.TLSVersion
) -> None:
    rig = verifying(start, tmp_path, how)
    context = client_context(own=ALICE.write(tmp_path, "alice"), version=version)
    digest = hashlib.sha256(ALICE.certificate.public_bytes(Encoding.DER)).hexdigest()
    with connect(rig, context=context) as client:
        client.get("/", headers={"X-Subject": "CN=root", "X-Fingerprint": "1"})
        session = client.sock.session
    with TlsClient(rig.proxy, context, "a.test", session) as client:  # a resumed session
        client.get("/", headers={"X-Subject": "CN=root", "X-Fingerprint": "1"})
    assert len(rig.origin.requests) == 2
    for request in rig.origin.requests:
        assert request.header_all("x-subject") == ["CN=alice"]
        assert request.header_all("x-fingerprint") == [digest]
    rig.proxy.wait_for_log(f"<CN=alice> {digest}.")


def test_an_optional_certificate_may_be_missing_but_not_wrong(
    start: Callable[..., Rig], tmp_path: Path
) -> None:
    rig = verifying(start, tmp_path, "optional")
    with connect(rig) as client:
        client.get("/", headers={"X-Subject": "CN=root", "X-Fingerprint": "1"})
    (request,) = rig.origin.requests
    assert request.header("x-subject") is None
    assert request.header("x-fingerprint") is None
    assert not accepted(rig, client_context(own=OTHER.write(tmp_path, "stranger")))


def test_a_required_certificate(start: Callable[..., Rig], tmp_path: Path) -> None:
    rig = verifying(start, tmp_path, "require")
    assert not accepted(rig, client_context())
    assert not accepted(rig, client_context(own=OTHER.write(tmp_path, "stranger")))
    late = issue(by=CLIENTS, common_name="late", days=(-2, -1))
    assert not accepted(rig, client_context(own=late.write(tmp_path, "late")))
    assert accepted(rig, client_context(own=ALICE.write(tmp_path, "alice")))
    assert len(rig.origin.requests) == 1


def accepted(rig: Rig, context: ssl.SSLContext) -> bool:
    try:
        with connect(rig, context=context) as client:  # with TLS 1.3 the refusal comes afterwards
            client.sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            return client.answer().status == 200
    except (ssl.SSLError, ConnectionError):
        return False


# What is no TLS, and handshakes that do not end.


@pytest.mark.parametrize("request_line", ["GET / HTTP/1.1", "OPTIONS * HTTP/1.1", "PROPFIND /"])
def test_plain_http_gets_a_readable_answer(rig: Rig, request_line: str) -> None:
    with rig.proxy.connect() as client:
        client.send(f"{request_line}\r\nHost: a\r\n\r\n".encode() + b"x" * 100_000)
        answer = client.answer()
        assert (answer.status, answer.reason) == (400, "Bad Request")
        assert answer.header("connection") == "close"
        assert b"https://" in answer.body
        assert client.is_closed()


@pytest.mark.parametrize("data", [b"\0" * 100, b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01"])
def test_gibberish_ends_the_connection_and_nothing_else(rig: Rig, data: bytes) -> None:
    with rig.proxy.connect() as client:
        client.send(data)
        client.sock.shutdown(socket.SHUT_WR)
        while client.receive():
            pass
    with connect(rig) as client:
        assert client.get("/").status == 200
    assert "Traceback" not in rig.proxy.log


def test_a_handshake_in_single_bytes(rig: Rig) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = TRUSTING.wrap_bio(incoming, outgoing, server_hostname="a.test")
    with rig.proxy.connect() as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            else:
                break
            for byte in outgoing.read():
                client.send(bytes([byte]))
            incoming.write(client.receive())
        tls.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for byte in outgoing.read():
            client.send(bytes([byte]))
        answer = b""
        while b"ok" not in answer:
            incoming.write(client.receive())
            with suppress(ssl.SSLWantReadError):
                answer += tls.read(65536)
        assert answer.startswith(b"HTTP/1.1 200")


def test_a_handshake_that_takes_too_long(start: Callable[..., Rig]) -> None:
    rig = start('tls_handshake_timeout = "200ms"')
    with rig.proxy.connect() as client, connect(rig) as quick:
        client.send(b"\x16\x03\x01")
        assert client.is_closed()
        assert quick.get("/").status == 200


def test_handshakes_under_way_are_bounded(start: Callable[..., Rig]) -> None:
    """Clients that do not go on keep nobody out: first those that say nothing have to leave."""
    rig = start("tls_max_handshakes = 3")
    with ExitStack() as stack:
        begun, silent, second = (stack.enter_context(rig.proxy.connect()) for _ in range(3))
        begun.send(b"\x16\x03\x01")
        with connect(rig) as client:
            assert client.get("/").status == 200
        assert silent.is_closed()
        third = stack.enter_context(rig.proxy.connect())
        with connect(rig) as client:
            assert client.get("/").status == 200
        assert second.is_closed()
        for other in (third, stack.enter_context(rig.proxy.connect())):
            other.send(b"\x16\x03\x01")
        with connect(rig) as client:
            assert client.get("/").status == 200
        assert begun.is_closed()


def test_the_limit_of_connections_is_told_by_tls(start: Callable[..., Rig]) -> None:
    rig = start(basic="max_connections = 1")
    with connect(rig) as first, connect(rig) as second:
        assert second.answer().status == 503
        assert first.get("/").status == 200


def test_the_limit_of_connections_is_told_by_http2(start: Callable[..., Rig]) -> None:
    rig = start("enabled_h2 = true", basic="max_connections = 1")
    with connect(rig) as first, H2Client(connect_by(rig, "h2")) as second:
        assert second.goaway() == h2.NO_ERROR
        assert first.get("/").status == 200


# What OpenSSL, or Python, cannot be left with.


@pytest.mark.parametrize("offered", [("h3",), ("h2c", "spdy/3.1"), ("h2",)])
def test_a_client_of_other_protocols_is_told_by_an_alert(
    rig: Rig, offered: tuple[str, ...]
) -> None:
    """RFC 7301, 3.2. (This server does not speak HTTP/2.)"""
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        connect_by(rig, *offered)


@pytest.mark.parametrize("offered", [("h2", "http/1.1"), ("x", "http/1.0"), ()])
def test_a_client_that_offers_what_is_spoken_is_served(rig: Rig, offered: tuple[str, ...]) -> None:
    with connect_by(rig, *offered) if offered else connect(rig) as client:
        assert client.get("/").status == 200
        assert client.sock.selected_alpn_protocol() == (offered[1] if offered else None)


def test_http2_needs_a_newer_tls(start: Callable[..., Rig]) -> None:
    """RFC 9113, 9.2."""
    rig = start('enabled_h2 = true\ntls_min_version = "tlsv1.1"')
    context = client_context(version=ssl.TLSVersion.TLSv1_1)
    with connect(rig, context=context) as client:
        assert client.get("/").status == 200
    context.set_alpn_protocols(["h2"])
    with connect(rig, context=context) as client, suppress(AssertionError, OSError):
        assert client.sock.recv(100) == b""


NAMES = {
    "not ASCII": b"\xffuml\xe4ut-.test",
    "UTF-8": "tägß.test..".encode(),
    "IPv4": b"127.0.0.001.",
    "IPv6": b"[2001:db8::1]",
    "empty labels": b"...........",
    "white space": b"a b\tc\r\nd.tes",
    "NUL": b"a.test\0b.test",
    "control characters": b"\x01\x02\x1b[31m.test",
    "wildcard": b"*.*.*.*.test",
    "path": b"../../../etc/x",
    "over-long label": b"a" * 200,
    "over-long": b"ab.cd." * 42,
    "empty": b"",
}


@pytest.mark.parametrize("default", ["certificate", "authority", "none"])
def test_odd_names_end_no_more_than_their_connection(
    start: Callable[..., Rig], default: str
) -> None:
    tables = {
        "certificate": TABLES,
        "authority": LEAF.toml("leaf")
        + ROOT.toml("root", 'is_ca = true\nis_default = true\ndomains = "x.test"'),
        "none": LEAF.toml("leaf"),
    }[default]
    rig = start("enabled_h2 = true", more=tables)
    for name in NAMES.values():
        with rig.connect() as client:
            client.send(hello_for(name))
            assert client.sock.recv(5)[:1] in (b"\x15", b"\x16")
    with connect(rig) as client:
        assert client.get("/").status == 200
    assert "Traceback" not in rig.proxy.log
    assert " ERROR " not in rig.proxy.log
    assert "Exception ignored" not in rig.proxy.log


def hello_for(name: bytes) -> bytes:
    """Return a ClientHello with any server name."""
    out, placeholder = ssl.MemoryBIO(), b"placeholder.test"
    with pytest.raises(ssl.SSLWantReadError):
        client_context().wrap_bio(
            ssl.MemoryBIO(), out, server_hostname=placeholder.decode()
        ).do_handshake()
    hello, more = out.read(), len(name) - len(placeholder)
    start = hello.index(placeholder)
    sizes = [(3, 2), (6, 3), (start - 2, 2), (start - 5, 2), (start - 7, 2)]
    at = 5 + 4 + 34  # the session, ciphers and compressions come before the size of the extensions
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at : at + 2])
    at += 1 + hello[at]
    changed = bytearray(hello)
    for place, width in [*sizes, (at, 2)]:
        old = int.from_bytes(hello[place : place + width])
        changed[place : place + width] = (old + more).to_bytes(width)
    return bytes(changed).replace(placeholder, name)


@pytest.mark.parametrize("name", ["a.test.", "A.TEST", "A.Test."])
def test_a_name_in_another_spelling(rig: Rig, name: str) -> None:
    with rig.connect() as client:
        client.send(hello_for(name.encode()))
        assert client.sock.recv(1) == b"\x16"


# Metrics.


def handshakes(client: TlsClient) -> dict[str, float]:
    """Return the metrics of handshakes, over all workers."""
    page = client.get("/metrics").body.decode()
    found = re.findall(
        r'^pingap_tls_(\w+)\{(?:le="(.*?)",)?server="web"\} (\S+)$', page, re.MULTILINE
    )
    return {name + bound: float(value) for name, bound, value in found}


@pytest.mark.parametrize("threads", [1, 2])
def test_handshakes_are_counted(start_process: Callable[..., Rig], threads: int) -> None:
    rig = start_process('prometheus_metrics = "/metrics"', basic=f"threads = {threads}")
    context = client_context(version=ssl.TLSVersion.TLSv1_2)
    session = None
    with connect(rig) as reader:
        for _ in range(6):
            with TlsClient(rig.proxy, context, "a.test", session) as client:
                assert client.get("/").status == 200
                session = client.sock.session
        with rig.proxy.connect() as plain:
            plain.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert plain.answer().status == 400
        with pytest.raises(ssl.SSLError):
            connect(rig, context=client_context(version=ssl.TLSVersion.TLSv1_1))
        with rig.proxy.connect():
            pass  # looks whether the port is open
        until(lambda: handshakes(reader)["handshakes_failed"] == 2)
        found = handshakes(reader)
    assert found["handshakes"] == found["handshake_time_count"] == 7
    assert found["handshake_time_bucket+Inf"] == 7
    assert 0 < found["handshake_time_sum"] < 7
    assert found["handshakes_resumed"] == 5  # whichever worker gave the ticket


# Programs.


def run(*command: str, data: str = "") -> str:
    done = subprocess.run(command, input=data, capture_output=True, text=True, timeout=30)
    return done.stdout + done.stderr


def test_curl(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_text(ROOT.cert)
    port = rig.proxy.port()
    said = run(
        *("curl", "-sv", "--cacert", str(tmp_path / "root.pem")),
        *("--resolve", f"a.test:{port}:127.0.0.1", f"https://a.test:{port}/"),
    )
    assert "< HTTP/1.1 200" in said
    assert "SSL certificate verify ok" in said


@pytest.mark.parametrize(("option", "version"), [("--http2", "2"), ("--http1.1", "1.1")])
def test_alpn_chooses_http2(
    start: Callable[..., Rig], tmp_path: Path, option: str, version: str
) -> None:
    rig = start("enabled_h2 = true")
    body = os.urandom(3_000_000)
    (tmp_path / "body").write_bytes(body)
    url = f"https://127.0.0.1:{rig.proxy.port()}/"
    said = run(
        *("curl", "-sk", option, "-w", "%{http_version} %{http_code}", url),
        *("--data-binary", f"@{tmp_path / 'body'}", "-o", str(tmp_path / "answer")),
    )
    assert said == f"{version} 200"
    assert (tmp_path / "answer").read_bytes() == body


@pytest.mark.parametrize("option", ["-tls1_2", "-tls1_3"])
def test_openssl(rig: Rig, tmp_path: Path, option: str) -> None:
    (tmp_path / "root.pem").write_text(ROOT.cert)
    said = run(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{rig.proxy.port()}", option),
        *("-servername", "x.b.test", "-CAfile", str(tmp_path / "root.pem"), "-ign_eof"),
        data="GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    assert "Verify return code: 0 (ok)" in said
    assert "HTTP/1.1 200 OK" in said


@pytest.mark.skipif(shutil.which("sslscan") is None, reason="sslscan is not installed")
def test_sslscan_finds_nothing(rig: Rig) -> None:
    said = run("sslscan", "--no-colour", "--no-check-certificate", f"127.0.0.1:{rig.proxy.port()}")
    protocols = dict(re.findall(r"^(SSLv\d|TLSv1\.\d) +(enabled|disabled)$", said, re.MULTILINE))
    assert protocols == {
        **dict.fromkeys(("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"), "disabled"),
        **dict.fromkeys(("TLSv1.2", "TLSv1.3"), "enabled"),
    }
    assert "Server supports TLS Fallback SCSV" in said
    assert "Session renegotiation not supported" in said
    assert "vulnerable to heartbleed" not in said.replace("not vulnerable", "")
    ciphers = re.findall(
        r"^(?:Preferred|Accepted) +TLSv1\.\d +(\d+) bits +(\S+)", said, re.MULTILINE
    )
    assert len(ciphers) >= 6
    for bits, name in ciphers:
        assert int(bits) >= 128
        assert re.search("GCM|POLY1305", name)
        assert re.match("ECDHE|TLS_", name)


OF_THE_CERTIFICATE = {"cert_revocation"}
"""What testssl says of any certificate that names neither a list of revoked ones nor a responder."""
NO_WEAKNESS = {"sessionresumption_ticket", "sessionresumption_ID"}
"""(That sessions are resumed is tested above; on a busy machine testssl may not get so far.)"""


def findings(tmp_path: Path, rig: Rig, *options: str) -> dict[str, str]:
    """Return what testssl finds at all, by its severity."""
    program, report = shutil.which("testssl"), tmp_path / "found.json"
    if program is None and os.environ.get("CI") != "true":
        pytest.skip("testssl is not installed (Debian: testssl.sh)")
    assert program is not None, "CI installs testssl (.ci/run)"
    (tmp_path / "root.pem").write_text(ROOT.cert)
    done = subprocess.run(
        [
            *(program, "--quiet", "--color", "0", "--severity", "LOW", "--ip", "one"),
            *("--add-ca", str(tmp_path / "root.pem"), "--jsonfile", str(report), *options),
            f"localhost:{rig.proxy.port()}",
        ],
        capture_output=True,
        text=True,
        timeout=150,
        stdin=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    assert "Done" in done.stdout, done.stdout + done.stderr
    found = json.loads(report.read_text())
    return {
        one["id"]: f"{one['severity']}: {one['finding']}"
        for one in found
        if one["id"] not in OF_THE_CERTIFICATE | NO_WEAKNESS
        and one["port"] == str(rig.proxy.port())
    }


@pytest.mark.timeout(180)
def test_testssl_finds_nothing_above_low(start_process: Callable[..., Rig], tmp_path: Path) -> None:
    """Protocols, ciphers, forward secrecy, certificate and known attacks."""
    served = issue("localhost", by=ROOT, common_name="localhost")
    rig = start_process(more=served.toml("leaf", "is_default = true"))
    found = findings(tmp_path, rig, "-p", "-s", "-f", "-S", "-U")
    assert {name: what for name, what in found.items() if not what.startswith("LOW")} == {}


@pytest.mark.timeout(180)
def test_testssl_finds_an_old_version(start_process: Callable[..., Rig], tmp_path: Path) -> None:
    """So that the test above would see one."""
    rig = start_process('tls_min_version = "tlsv1.1"')
    assert findings(tmp_path, rig, "-p")["TLS1_1"].startswith("LOW")


def test_on_asyncio_without_uvloop(tmp_path: Path, upstream: Upstream) -> None:
    """The transport is ours, so it must do on any event loop."""
    hide = tmp_path / "site" / "uvloop.py"
    hide.parent.mkdir()
    hide.write_text("raise ImportError\n")
    toml = configure(upstream.addr, server=SERVER, more=TABLES)
    with Process(toml, tmp_path, env={"PYTHONPATH": str(hide.parent)}) as proxy:
        body = os.urandom(3_000_000)
        with TlsClient(proxy, TRUSTING, "a.test") as client:
            assert client.request("PUT", "/", body=body).body == body
            assert client.get("/", headers={"Connection": "close"}).status == 200
            assert client.is_closed()


def test_a_certificate_without_a_default_refuses_other_names(start: Callable[..., Rig]) -> None:
    rig = start(more=LEAF.toml("leaf"))
    with connect(rig) as client:
        assert client.get("/").status == 200
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized"):
        TlsClient(rig.proxy, client_context(), "nobody.test")
