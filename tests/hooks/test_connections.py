"""``pingap_connection``: plugins look at connections before anything of them is read."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.certificates import issue
from support.check import check
from support.h2 import PREFACE, settings
from support.plugins import installed, python_path, routes, write_distribution
from support.process import Process
from support.tls import client_context
from support.waiting import until

from pingap.testing import Proxy, Upstream

SOURCE = """
class Bouncer(Plugin):
    category = "bouncer"

    class Settings(PluginSettings):
        refuse: list[str] = []

    def __init__(self, settings): self.refuse = settings.refuse

    @hookimpl
    def pingap_connection(self, connection):
        if connection.remote_addr.endswith(".66"):
            raise OSError("no list")
        return connection.remote_addr not in self.refuse


class Guard(Bouncer):
    category = "guard"
    guard = True


@hookimpl
def pingap_plugin_categories(): return [Bouncer, Guard]


@hookimpl
def pingap_connection(connection):
    log.warning("%s from %s:%s at %s:%s, tls %s", connection.server, connection.remote_addr,
        connection.remote_port, connection.server_addr, connection.server_port, connection.tls)
    connection.shared.counter("connections").add()
"""
MORE = """
[plugins.one]
category = "bouncer"
refuse = ["127.0.0.2", "192.0.2.7"]
[plugins.strict]
category = "guard"
[basic]
trusted_proxies = ["127.0.0.0/8"]
[servers.tls]
addr = "127.0.0.1:0"
locations = ["a"]
plugins = ["one"]
global_certificates = true
enabled_h2 = true
[servers.behind]
addr = "127.0.0.1:0"
locations = ["a"]
plugins = ["one"]
proxy_protocol = true
enabled_h2 = true
[servers.strict]
addr = "127.0.0.1:0"
locations = ["a"]
plugins = ["strict"]
"""
SERVER = 'plugins = ["one"]\nprometheus_metrics = "/metrics"\nenabled_h2 = true'
GET = b"GET /a/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
V1 = b"PROXY TCP4 192.0.2.%d 198.51.100.1 4321 80\r\n"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("connections")
    points = {"bouncer": "bouncer", "guard": "bouncer"}
    write_distribution(folder / "site", "bouncer", SOURCE, points)
    cert, key = issue("a.test").write(folder, "a")
    tls = f'[certificates.a]\ndomains = "a.test"\ntls_cert = "{cert}"\ntls_key = "{key}"\n'
    with Upstream() as origin:
        toml = routes({"a": ""}, origin.addr, server=SERVER, more=MORE + tls)
        with Process(toml, folder / "proxy", env=python_path(folder / "site")) as running:
            yield running
            assert " ERROR " not in re.sub(r".* failed in pingap_connection.*", "", running.log)


def connect(proxy: Process, server: str, source: str) -> socket.socket:
    """Connect from an address of the loopback network."""
    address = ("127.0.0.1", proxy.port(server))
    return socket.create_connection(address, 5, source_address=(source, 0))


def answer(sock: socket.socket, data: bytes = b"") -> bytes:
    """Return what comes up to the end of a connection."""
    with sock:
        try:
            if data:
                sock.sendall(data)
            return b"".join(iter(lambda: sock.recv(65536), b""))
        except (ConnectionResetError, BrokenPipeError):
            return b""


def refused(proxy: Process, server: str, plugin: str = "one") -> int:
    with proxy.connect("web") as client:
        page = client.get("/metrics").body.decode()
    label = f'pingap_connections_refused{{plugin="{plugin}",server="{server}"}}'
    values = [line.split()[-1] for line in page.splitlines() if line.startswith(label)]
    return int(float(values[0])) if values else 0


def test_hook_pingap_connection_closes_before_anything_is_sent(proxy: Process) -> None:
    before = refused(proxy, "web")
    for _ in range(3):
        assert answer(connect(proxy, "web", "127.0.0.2")) == b""
    assert refused(proxy, "web") == before + 3
    assert answer(connect(proxy, "web", "127.0.0.3"), GET).startswith(b"HTTP/1.1 200")
    assert refused(proxy, "web") == before + 3


def test_a_plugin_sees_who_connects_to_what(proxy: Process) -> None:
    with connect(proxy, "web", "127.0.0.9") as sock:
        port = sock.getsockname()[1]
        to = proxy.port("web")
        proxy.wait_for_log(f"web from 127.0.0.9:{port} at 127.0.0.1:{to}, tls False")


def test_tls_is_refused_before_the_handshake(proxy: Process) -> None:
    assert answer(connect(proxy, "tls", "127.0.0.2")) == b""
    proxy.wait_for_log("tls from 127.0.0.2:")
    context = client_context()
    with (
        pytest.raises(OSError),  # noqa: PT011  # a reset, or an end in the middle of the handshake
        connect(proxy, "tls", "127.0.0.2") as sock,
    ):
        context.wrap_socket(sock, server_hostname="a.test")


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
def test_tls_goes_on_after_it(proxy: Process, alpn: str) -> None:
    context = client_context()
    context.set_alpn_protocols([alpn])
    sock = context.wrap_socket(connect(proxy, "tls", "127.0.0.3"), server_hostname="a.test")
    assert sock.selected_alpn_protocol() == alpn
    if alpn == "h2":
        with sock:
            sock.sendall(PREFACE + settings())
            assert sock.recv(9)[3] == 4  # SETTINGS
    else:
        assert answer(sock, GET).startswith(b"HTTP/1.1 200")
    assert isinstance(sock, ssl.SSLSocket)


def test_http2_goes_on_or_is_refused(proxy: Process) -> None:
    assert answer(connect(proxy, "web", "127.0.0.2"), PREFACE + settings()) == b""
    with connect(proxy, "web", "127.0.0.3") as sock:
        sock.sendall(PREFACE + settings())
        assert sock.recv(9)[3] == 4


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("http2", [False, True])
def test_the_client_in_a_proxy_header_counts(proxy: Process, cut: bool, http2: bool) -> None:
    data = PREFACE + settings() if http2 else GET
    for client, served in ((7, False), (8, True)):
        sock = connect(proxy, "behind", "127.0.0.2")  # the proxy itself is not looked at
        sock.sendall(V1 % client + data[: 0 if cut else None])
        proxy.wait_for_log(f"behind from 192.0.2.{client}:4321 at 127.0.0.1:")
        if not served:
            assert answer(sock, data if cut else b"") == b""
        elif http2:
            with sock:
                sock.sendall(data if cut else b"")
                assert sock.recv(9)[3] == 4
        else:
            assert answer(sock, data if cut else b"").startswith(b"HTTP/1.1 200")


def test_a_header_that_is_refused_never_gets_there(proxy: Process) -> None:
    assert answer(connect(proxy, "behind", "127.0.0.5"), GET) == b""
    assert "behind from 127.0.0.5" not in proxy.log


def test_a_plugin_that_raises_lets_pass_unless_it_is_a_guard(proxy: Process) -> None:
    assert answer(connect(proxy, "web", "127.0.0.66"), GET).startswith(b"HTTP/1.1 200")
    proxy.wait_for_log("plugin one failed in pingap_connection")
    assert answer(connect(proxy, "strict", "127.0.0.66")) == b""
    proxy.wait_for_log("plugin strict failed in pingap_connection")
    with proxy.connect("web") as client:
        page = client.get("/metrics").body.decode()
    assert 'pingap_plugin_failures{location="",plugin="strict",server="web"} 1.0' in page


def test_connections_that_are_refused_do_not_count(proxy: Process) -> None:
    for _ in range(50):
        answer(connect(proxy, "web", "127.0.0.2"))
    folder = Path(f"/proc/{proxy.workers[0]}/fd")
    few = len(list(folder.iterdir()))
    for _ in range(50):
        answer(connect(proxy, "web", "127.0.0.2"))
    until(lambda: len(list(folder.iterdir())) <= few)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (
            "@hookimpl\n    async def pingap_connection(self, connection): ...",
            "pingap_connection: pingap_connection cannot be async",
        ),
        (
            "@hookimpl\n    def pingap_connection(self, conection): ...",
            'pingap_connection has no argument "conection"; did you mean "connection"?',
        ),
        (
            "def pingap_connection(self, connection): ...",
            "pingap_connection: is named after a hook: mark it with @hookimpl, or rename it",
        ),
    ],
)
def test_a_method_that_cannot_be_called_is_an_error(tmp_path: Path, method: str, said: str) -> None:
    source = f"from pingap import *\nclass Own(Plugin):\n    {method}\n"
    (tmp_path / "own.py").write_text(source)
    code, text = check(tmp_path, '[plugins.own]\ncategory = "python"\npath = "own.py"\n')
    assert code == 2
    assert said in text


CLAIMED = """
class Block(Plugin):
    class Settings(PluginSettings):
        block: str

    def __init__(self, settings): self.block = settings.block

    @hookimpl
    def pingap_connection(self, connection): return connection.remote_addr != self.block


@hookimpl
def pingap_server_keys(): return {"block": Block}

@hookimpl
def pingap_basic_keys(): return {"block": Block}
"""


@pytest.mark.parametrize("where", ["servers.web", "basic"])
def test_plugins_behind_keys_see_connections_as_well(
    tmp_path: Path, upstream: Upstream, where: str
) -> None:
    points = {"server:block": "block", "basic:block": "block"}
    write_distribution(tmp_path / "site", "block", CLAIMED, points)
    toml = routes({"a": ""}, upstream.addr)
    block = 'block = "127.0.0.1"\n'
    if where == "basic":
        toml = f"[basic]\n{block}{toml}"
    else:
        toml = toml.replace("[servers.web]\n", f"[servers.web]\n{block}")
    with installed(tmp_path / "site"), Proxy(toml) as proxy, proxy.connect() as client:
        client.send(b"GET /a/ HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.read_to_end() == b""
