"""What proxies in front tell reaches the upstream, and what clients make up does not."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.certificates import issue
from support.h2_origin import H2Served, h2_script
from support.origin import echo
from support.process import Process
from support.rig import Rig, configure, running, running_process
from support.tls import TlsOrigin

from pingap.testing import Client, Proxy, Upstream

TELLS = (
    'enable_reverse_proxy_headers = true\nproxy_set_headers = ["X-Scheme: $scheme", "X-Host: $host",'
    ' "X-Client: $client_ip", "X-User-Id: $http_x_user"]'
)
LOG = 'access_log = "{scheme} {host} {client_ip} {>x-tag}"'
FORGED = (
    b"X-Forwarded-For: 203.0.113.9:99\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.test\r\n"
    b"X-Real-IP: 203.0.113.8\r\nForwarded: for=6.6.6.6\r\nX-Tag: 1\r\nX-Tag: \xe92\r\n"
)


def sent(rig: Rig, fields: bytes, path: str = "/") -> dict[str, list[str]]:
    """Return what the origin gets of a request with these fields."""
    rig.origin.requests.clear()
    with rig.connect() as client:
        client.send(b"GET %b HTTP/1.1\r\nHost: in.test:81\r\n%b\r\n" % (path.encode(), fields))
        assert client.answer().status == 200
    found: dict[str, list[str]] = {}
    for name, value in rig.origin.requests[-1].headers:
        found.setdefault(name.lower(), []).append(value)
    return found


@pytest.fixture(scope="module")
def behind() -> Iterator[Rig]:
    """A proxy that trusts its peer."""
    with running(
        basic='trusted_proxies = ["127.0.0.0/8"]',
        location=f"forwarded_header = true\n{TELLS}",
        server=LOG,
    ) as rig:
        yield rig


@pytest.fixture(scope="module")
def alone() -> Iterator[Rig]:
    """A proxy that trusts nobody."""
    with running(location=TELLS, server=LOG) as rig:
        yield rig


def test_what_a_trusted_proxy_tells_goes_on(behind: Rig) -> None:
    got = sent(behind, FORGED)
    assert got["x-forwarded-for"] == ["203.0.113.9:99, 127.0.0.1"]
    assert got["x-real-ip"] == got["x-client"] == ["203.0.113.9"]
    assert got["x-forwarded-proto"] == got["x-scheme"] == ["https"]
    assert got["x-forwarded-host"] == got["x-host"] == ["shop.test"]
    assert got["x-forwarded-port"] == ["443"]
    assert got["forwarded"] == [
        'for=203.0.113.9;host="shop.test";proto=https, for=127.0.0.1;host="in.test:81";proto=http'
    ]
    behind.proxy.wait_for_log(r"https shop.test 203.0.113.9 1, \xe92")


def test_forwarded_of_a_trusted_proxy(behind: Rig) -> None:
    got = sent(behind, b'Forwarded: for="[2001:db8::1]:9";proto=https;host=shop.test\r\n')
    assert got["x-forwarded-for"] == ["2001:db8::1, 127.0.0.1"]
    assert got["x-client"] == ["2001:db8::1"]
    assert got["x-forwarded-port"] == ["443"]
    assert got["forwarded"] == [
        'for="[2001:db8::1]:9";proto=https;host=shop.test, for=127.0.0.1;host="in.test:81";proto=http'
    ]


def test_what_a_client_makes_up_is_replaced(alone: Rig) -> None:
    got = sent(alone, FORGED)
    assert got["x-forwarded-for"] == got["x-real-ip"] == got["x-client"] == ["127.0.0.1"]
    assert got["x-forwarded-proto"] == got["x-scheme"] == ["http"]
    assert got["x-forwarded-host"] == got["x-host"] == ["in.test"]
    assert got["x-forwarded-port"] == [str(alone.proxy.port())]
    assert "forwarded" not in got


def test_names_that_shadow_others(alone: Rig) -> None:
    got = sent(
        alone,
        b"X_Forwarded_For: 6.6.6.6\r\nx-forwarded_proto: https\r\nX_User-Id: root\r\nX_Mine: 1\r\n"
        b"X_Twin: 1\r\nX-Twin: 2\r\nContent_Length: 5\r\nX-User: me\r\nX-Retry-Attempt: 3\r\n"
        b"x_retry_attempt: 3\r\nX-Pingap-Plugin-Timing: 1\r\n",
    )
    assert [name for name in got if "_" in name] == ["x_mine"]
    assert (got["x-twin"], got["x-user-id"]) == (["2"], ["me"])
    assert "x-retry-attempt" not in got
    assert "x-pingap-plugin-timing" not in got


def test_shadowing_names_can_be_kept() -> None:
    with running(server="keep_shadowing_headers = true") as rig:
        got = sent(rig, b"X_Forwarded_For: 1\r\nX-A: 1\r\nX_A: 2\r\nX-Retry-Attempt: 3\r\n")
    assert (got["x_forwarded_for"], got["x_a"]) == (["1"], ["2"])
    assert "x-retry-attempt" not in got


def test_a_proxy_on_a_unix_socket() -> None:
    with TemporaryDirectory(prefix="pingap-") as folder:
        path = f"{folder}/s"
        server = f'addr = "unix:{path}"\nproxy_protocol = true'
        basic = 'trusted_proxies = ["unix:"]'
        with running(basic=basic, location=TELLS, server=server) as rig:
            for start, remote in (
                (b"PROXY UNKNOWN\r\n", ["203.0.113.9"]),
                (b"PROXY TCP6 ::ffff:198.51.100.1 ::1 1 2\r\n", ["198.51.100.1"]),
            ):
                rig.origin.requests.clear()
                sock = socket.socket(socket.AF_UNIX)
                sock.connect(path)
                with Client(sock) as client:
                    client.send(start + b"GET / HTTP/1.1\r\nHost: a\r\n")
                    client.send(b"X-Forwarded-For: 203.0.113.9\r\n\r\n")
                    assert client.answer().status == 200
                [request] = rig.origin.requests
                assert request.header_all("x-client") == remote
                assert request.header_all("x-forwarded-for") == remote
                assert request.header_all("x-forwarded-port") == []


@pytest.mark.parametrize("alpn", ["H1", "H2"])
def test_the_times_of_a_new_connection(tmp_path: Path, alpn: str) -> None:
    root = issue(ca=True, common_name="root")
    own = issue("origin.test", by=root).write(tmp_path, "origin")
    (tmp_path / "root.pem").write_text(root.cert)

    def answer(served: H2Served) -> None:
        while (request := served.request()) is not None:
            served.respond(request.stream)

    times = "{:upstream_connect_time} {:upstream_tcp_connect_time} {:upstream_tls_handshake_time}"
    human = "{:upstream_tls_handshake_time_human} {:cache_lookup_time}{:compression_ratio}"
    toml = configure(
        "ADDR",
        upstream=f'alpn = "{alpn}"\nsni = "origin.test"\nupstream_ca = "{tmp_path}/root.pem"',
        server=f'access_log = "took={times} {human} {{:upstream_reused}}."',
    )
    with TlsOrigin(own, echo if alpn == "H1" else h2_script(answer)) as origin:
        origin.context.sni_callback = lambda *_: time.sleep(0.03)
        if alpn == "H2":
            origin.context.set_alpn_protocols(["h2"])
        toml = toml.replace("ADDR", origin.addr)
        with Process(toml, tmp_path / "proxy") as proxy, proxy.connect() as client:
            client.get("/")
            client.get("/")
            proxy.wait_for_log("true.")
            text = proxy.log_path.read_text()
    found = re.search(r"took=(\d+) (\d+) (\d+) (\S+)  false\.", text)
    assert found, text
    assert int(found[3]) >= 30
    assert int(found[2]) + int(found[3]) <= int(found[1]) + 1
    assert found[4].endswith("s")
    assert re.search(r"took= +true\.", text), text


def test_a_plain_connection_has_no_handshake(tmp_path: Path) -> None:
    server = 'access_log = "took=[{:upstream_tcp_connect_time}] [{:upstream_tls_handshake_time}]"'
    with running_process(tmp_path, server=server) as rig:
        sent(rig, b"")
        rig.proxy.wait_for_log("] []")
        assert re.search(r"took=\[\d+\] \[\]", rig.proxy.log_path.read_text())


def test_origin_sees_one_list(tmp_path: Path) -> None:
    location = 'match_headers = ["X-Tag:2"]\nmatch_cookies = ["b:1"]\nproxy_set_headers = ["X-C: $http_x_tag"]'
    with Upstream() as origin, Proxy(configure(origin.addr, location=location)) as proxy:
        with proxy.connect() as client:
            client.send(
                b"GET / HTTP/1.1\r\nHost: a\r\nX-Tag: 1\r\nCookie: a=1\r\nX-Tag: 2\r\nCookie: b=1\r\n\r\n"
            )
            assert client.answer().status == 200
        assert origin.requests[-1].header_all("x-c") == ["1, 2"]
