"""Transparent upstreams: where the client wants to go, if it may."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.certificates import issue
from support.tls import TlsOrigin

from pingap.testing import Answer, Client, Proxy, Upstream

TOML = """
[upstreams.anywhere]
addrs = []
discovery = "transparent"
transparent_allow = [{allow}]
{upstream}
[locations.all]
upstream = "anywhere"
{location}
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
access_log = "{{host}} {{status}} {{:upstream_addr}}"
"""


@pytest.fixture
def origin() -> Iterator[Upstream]:
    with Upstream() as started:
        yield started


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    with ExitStack() as stack:

        def start(*allow: str, upstream: str = "", location: str = "") -> Proxy:
            listed = ", ".join(f'"{one}"' for one in allow)
            toml = TOML.format(allow=listed, upstream=upstream, location=location)
            return stack.enter_context(Proxy(toml))

        yield start


def port_of(origin: Upstream) -> str:
    return origin.addr.rpartition(":")[2]


def ask(proxy: Proxy, host: str) -> Answer:
    with proxy.connect() as client:
        return client.get("/x", headers={"Host": host})


def test_the_upstream_is_the_host_that_was_asked_for(
    start: Callable[..., Proxy], origin: Upstream
) -> None:
    port = port_of(origin)
    proxy = start(f"localhost:{port}", f"127.0.0.0/8:{port}")
    with proxy.connect() as client:
        for host in ("localhost", "LOCALHOST.", "127.0.0.1", "[::ffff:127.0.0.1]"):
            answer = client.get("/x", headers={"Host": f"{host}:{port}"})
            assert (host, answer.status, answer.body) == (host, 200, b"ok")
    assert origin.requests[0].header("host") == f"localhost:{port}"
    proxy.wait_for_log(f"localhost 200 127.0.0.1:{port}")


def test_connections_are_kept_by_host_and_address(
    start: Callable[..., Proxy], origin: Upstream
) -> None:
    port = port_of(origin)
    proxy = start(f"localhost:{port}", f"127.0.0.0/8:{port}")
    with proxy.connect() as client:
        for _ in range(3):
            client.get("/x", headers={"Host": f"localhost:{port}"})
        client.get("/x", headers={"Host": f"127.0.0.1:{port}"})
    assert [one.connection for one in origin.requests] == [1, 1, 1, 2]


@pytest.mark.parametrize(
    ("allow", "host"),
    [
        ("127.0.0.1:9", "127.0.0.1"),  # another port
        ("127.0.0.1", "127.0.0.1"),  # without a port, that of a request that names none
        ("localhost", "localhost"),
        ("*.localhost", "localhost"),  # only what is below it
        ("localhost:{port}", "localhost"),  # a name does not name where it leads
        ("0.0.0.0/0:{port}", "127.0.0.1"),  # everything is not this machine
        ("[::/0]:{port}", "127.0.0.1"),
        ("0.0.0.0/0:{port}", "[::ffff:127.0.0.1]"),
        ("0.0.0.0/0:{port}", "0.0.0.0"),
        ("127.0.0.1:{port}", "0.0.0.0"),
        ("127.0.0.1:{port}", "0"),
        ("127.0.0.1:{port}", "127.1"),
        ("127.0.0.1:{port}", "2130706433"),
        ("127.0.0.1:{port}", "0x7f000001"),
        ("127.0.0.1:{port}", "localhost"),  # only literally
        ("[::/0]:{port}", "[::1]"),
        ("0.0.0.0/0:{port}", "169.254.169.254"),
    ],
)
def test_what_is_not_allowed_is_403(
    start: Callable[..., Proxy], origin: Upstream, allow: str, host: str
) -> None:
    port = port_of(origin)
    proxy = start(allow.format(port=port), "example.invalid")
    assert ask(proxy, f"{host}:{port}").status == 403
    assert origin.requests == []


def test_the_port_of_a_request_without_one_is_80(start: Callable[..., Proxy]) -> None:
    proxy = start("127.0.0.9:81", "127.0.0.9:80")
    assert ask(proxy, "127.0.0.9").status == 502  # allowed: nobody listens there
    proxy.wait_for_log("127.0.0.9 502 127.0.0.9:80")
    assert ask(proxy, "127.0.0.9:82").status == 403
    assert ask(proxy, "127.0.0.9:0").status == 403
    assert ask(proxy, "127.0.0.9:99999").status == 403


def test_it_does_not_lead_back_to_itself(start: Callable[..., Proxy], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    toml = TOML.format(allow=f'"127.0.0.1:{port}"', upstream="", location="")
    with Proxy(toml.replace("127.0.0.1:0", f"127.0.0.1:{port}")) as proxy:
        assert ask(proxy, f"127.0.0.1:{port}").status == 403


def test_a_request_without_a_host(start: Callable[..., Proxy]) -> None:
    proxy = start("127.0.0.1:80")
    with proxy.connect() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.answer().status == 403


def test_a_name_that_cannot_be_resolved_is_502(start: Callable[..., Proxy]) -> None:
    proxy = start("*.invalid")
    assert ask(proxy, "nobody.invalid").status == 502
    assert '"nobody.invalid" cannot be resolved' in proxy.wait_for_log("cannot be resolved")


def test_an_upstream_that_does_not_accept_is_504(start: Callable[..., Proxy]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = []
        for _ in range(3):  # fill the queue
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(("127.0.0.1", port))
        proxy = start(f"127.0.0.1:{port}", upstream='connection_timeout = "200ms"')
        assert ask(proxy, f"127.0.0.1:{port}").status == 504
        for sock in waiting:
            sock.close()


def test_tls_asks_for_the_host_that_was_asked_for(
    start: Callable[..., Proxy], tmp_path: Path
) -> None:
    root = issue(ca=True, common_name="root")
    own = issue("localhost", by=root).write(tmp_path, "own")
    (tmp_path / "root.pem").write_text(root.cert)
    with TlsOrigin(own) as origin:
        port = port_of(origin)
        proxy = start(
            f"localhost:{port}",
            f"127.0.0.1:{port}",
            upstream=f'sni = "$host"\nupstream_ca = "{tmp_path}/root.pem"',
        )
        with proxy.connect() as client:
            for _ in range(2):
                assert client.get("/x", headers={"Host": f"localhost:{port}"}).status == 200
        assert origin.names == ["localhost"]
        assert ask(proxy, f"127.0.0.1:{port}").status == 502  # not in the certificate


def test_many_hosts_leave_nothing_behind(start: Callable[..., Proxy], origin: Upstream) -> None:
    port = port_of(origin)
    proxy = start("127.0.0.0/8:1", f"127.0.0.1:{port}")
    with Client(("127.0.0.1", proxy.port())) as client:
        for number in range(600):
            host = f"127.{number >> 8}.{number & 255}.9:1"
            assert client.get("/x", headers={"Host": host}).status == 502
        assert client.get("/x", headers={"Host": f"127.0.0.1:{port}"}).status == 200
