"""Unix sockets and IPv6, on both sides."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.origin import echo
from support.rig import configure, running, running_process

from pingap.testing import Client, Proxy, Served, Upstream


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder with a path short enough for Unix sockets."""
    with TemporaryDirectory(prefix="pingap-") as folder:
        yield Path(folder)


def test_a_unix_socket_as_upstream(tmp_path: Path, short_path: Path) -> None:
    path = str(short_path / "origin")
    with (
        Upstream(echo, path=path) as origin,
        Proxy(configure(origin.addr, server='access_log = "{status} {:upstream_addr}"')) as proxy,
        proxy.connect() as client,
    ):
        for _ in range(2):
            assert client.request("POST", "/", body=b"x" * 100_000).body == b"x" * 100_000
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.answer().status == 200
        assert origin.connections == 1
        assert origin.requests[-1].header_all("host") == ["localhost"]
        proxy.wait_for_log(f"200 unix:{path}")


def test_a_unix_socket_that_is_missing_is_answered_with_502(
    tmp_path: Path, short_path: Path
) -> None:
    with (
        Proxy(configure(f"unix:{short_path}/missing")) as proxy,
        proxy.connect() as client,
    ):
        answer = client.get("/")
        assert answer.status == 502
        assert str(short_path).encode() not in answer.body


def test_a_unix_socket_as_listener(short_path: Path) -> None:
    path = short_path / "proxy"
    server = f'addr = "unix:{path}"\naccess_log = "{{remote}} {{status}}"'
    location = "enable_reverse_proxy_headers = true"
    with running(server=server, location=location) as rig:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with Client(str(path)) as client:
            assert [client.get("/").status for _ in range(3)] == [200] * 3
            client.send(b"bad\r\n\r\n")
            assert client.answer().status == 400
            assert client.is_closed()
        rig.proxy.wait_for_log("- 200")
        assert rig.origin.requests[0].header("x-forwarded-proto") == "http"


@pytest.fixture
def has_ipv6() -> None:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")


@pytest.mark.usefixtures("has_ipv6")
def test_ipv6_on_both_sides(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6) as listener:
        listener.bind(("::1", 0))
        listener.listen()
        listener.settimeout(10)
        port = listener.getsockname()[1]
        toml = configure(
            f"[::1]:{port}",
            server='addr = "[::1]:0"\naccess_log = "{remote} {:upstream_addr}"',
            location="enable_reverse_proxy_headers = true",
        )
        with Proxy(toml) as proxy, Client(("::1", proxy.port())) as client:
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(10)
                served = Served(sock)
                head = served.read_until(b"\r\n\r\n").lower()
                served.respond(b"six")
                assert client.answer().body == b"six"
            assert f"host: [::1]:{port}\r\n".encode() in head
            assert b"x-forwarded-for: ::1\r\n" in head
            proxy.wait_for_log(f"::1 [::1]:{port}")


def test_several_addresses_of_one_server(tmp_path: Path) -> None:
    server = 'addr = "127.0.0.1:0,127.0.0.2:0"'
    with running_process(tmp_path, server=server) as rig:
        for address in rig.proxy.addresses["web"]:
            host, _, port = address.rpartition(":")
            with Client((host, int(port))) as client:
                assert client.get("/").status == 200
        assert len(rig.proxy.addresses["web"]) == 2
