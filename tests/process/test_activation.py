"""Socket activation: real sockets, inherited over exec as systemd does it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.waiting import until

from pingap.config import TcpAddress, UnixAddress
from pingap.supervisor.activation import ActivatedSockets

REPORT = """
import os, sys
from pingap.config import parse_listen
from pingap.supervisor.activation import ActivatedSockets
inherited = ActivatedSockets.from_environment()
print(sorted(name for name in os.environ if name.startswith("LISTEN_")))
for text in sys.argv[1:]:
    (address,) = parse_listen(text)
    sock = inherited.take(address)
    if sock is None:
        print(text, "none")
    else:
        print(text, sock.getsockname()[1], sock.get_inheritable(), sock.getblocking())
print(*inherited.warnings, *inherited.close_rest(), sep="\\n")
"""


def inheriting(
    files: list[int], *addresses: str, names: str = "", pid: str = "$$", count: object = None
) -> list[str]:
    """Run the report in a process that inherits files from number 3 on; return its lines."""
    count = len(files) if count is None else count
    # A shell, because LISTEN_PID has to be the id of the process that goes on by exec.
    places = [(fd + 100, 3 + index) for index, fd in enumerate(files)]
    redirect = "".join(f" {new}<&{old}" for old, new in places)
    close = "".join(f" {old}<&-" for old, _ in places)
    script = (
        f"export LISTEN_PID={pid} LISTEN_FDS={count} LISTEN_FDNAMES={names}\n"
        f'exec "$0" "$@"{redirect}{close}'
    )
    with ExitStack() as stack:
        for fd in files:
            os.dup2(fd, fd + 100)
            stack.callback(os.close, fd + 100)
        done = subprocess.run(
            ["bash", "-c", script, sys.executable, "-c", REPORT, *addresses],
            pass_fds=[fd + 100 for fd in files],
            capture_output=True,
            text=True,
            timeout=20,
        )
    assert done.stderr == ""
    return done.stdout.splitlines()


def listener(host: str = "127.0.0.1", **options: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family, **options)  # type: ignore[arg-type]


def port(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


@pytest.fixture
def has_ipv6() -> None:
    try:
        listener("::1").close()
    except OSError:
        pytest.skip("no IPv6 here")


def test_sockets_are_found_by_their_addresses() -> None:
    with TemporaryDirectory(prefix="pingap-") as folder, listener() as a, listener() as b:
        path = f"{folder}/web"
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(path)
            unix.listen()
            first, second = port(a), port(b)
            addresses = [f"127.0.0.1:{second}", f"unix:{path}", f"127.0.0.1:{first}"]
            lines = inheriting([s.fileno() for s in (a, b, unix)], *addresses)
    assert lines == [
        "[]",
        f"127.0.0.1:{second} {second} False False",
        f"unix:{path} {path[1]} False False",
        f"127.0.0.1:{first} {first} False False",
        "",
    ]


def test_what_no_server_uses_is_closed_and_named() -> None:
    with listener() as a, listener() as b:
        first, second = port(a), port(b)
        lines = inheriting([a.fileno(), b.fileno()], f"127.0.0.1:{first}", names="web:old")
    assert lines[2:] == [f"127.0.0.1:{second} (old)"]


def test_what_is_no_listening_socket_is_closed_with_a_warning(tmp_path: Path) -> None:
    with (
        (tmp_path / "file").open("w") as file,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
        socket.socket() as idle,
        listener() as good,
    ):
        number = port(good)
        address = f"127.0.0.1:{number}"
        files = [one.fileno() for one in (file, datagram, idle, good)]
        lines = inheriting(files, address, names="file:dns")
    assert lines == [
        "[]",
        f"{address} {number} False False",
        "inherited file 3 (file): this is not a socket",
        "inherited file 4 (dns): this is not a stream socket, as ListenStream= makes",
        "inherited file 5: this socket does not listen (Accept=no is needed)",
    ]


def test_more_files_than_there_are_is_no_harm() -> None:
    with listener() as good:
        lines = inheriting([good.fileno()], count=2)
    assert lines[0] == "[]"
    assert lines[1] == "inherited file 4: this is not a socket"


@pytest.mark.parametrize("options", [{"pid": "1"}, {"pid": ""}, {"count": ""}, {"count": "-1"}])
def test_variables_for_another_process_are_removed_and_ignored(options: dict[str, str]) -> None:
    with listener() as sock:
        lines = inheriting([sock.fileno()], f"127.0.0.1:{port(sock)}", **options)
        assert lines == ["[]", f"127.0.0.1:{port(sock)} none", ""]


def test_a_socket_is_given_once() -> None:
    with listener() as sock:
        inherited = ActivatedSockets([("web", sock)])
        address = TcpAddress("127.0.0.1", port(sock))
        assert inherited.take(address) is sock
        assert inherited.take(address) is None
        assert inherited.close_rest() == []


def test_any_free_port_is_none_of_these() -> None:
    with listener() as sock:
        number = port(sock)
        inherited = ActivatedSockets([("", sock)])
        assert inherited.take(TcpAddress("127.0.0.1", 0)) is None
        assert inherited.take(TcpAddress("no-such-host.invalid", number)) is None
        assert inherited.take(UnixAddress("/nowhere")) is None
        assert inherited.close_rest() == [f"127.0.0.1:{number}"]


def test_a_name_finds_the_socket_of_its_address() -> None:
    with listener() as sock:
        assert ActivatedSockets([("", sock)]).take(TcpAddress("localhost", port(sock))) is sock


@pytest.mark.usefixtures("has_ipv6")
def test_ipv6_addresses_are_compared_by_value() -> None:
    with listener("::1") as sock:
        inherited = ActivatedSockets([("", sock)])
        assert inherited.take(TcpAddress("127.0.0.1", port(sock))) is None
        assert inherited.take(TcpAddress("0:0::1", port(sock))) is sock


@pytest.mark.usefixtures("has_ipv6")
def test_a_socket_of_both_families_serves_the_ipv4_wildcard_if_no_other_does() -> None:
    with listener("::", dualstack_ipv6=True) as both:
        inherited = ActivatedSockets([("", both)])
        assert inherited.take(TcpAddress("127.0.0.1", port(both))) is None
        assert inherited.take(TcpAddress("0.0.0.0", port(both))) is both
    with listener("::") as six:
        assert ActivatedSockets([("", six)]).take(TcpAddress("0.0.0.0", port(six))) is None


@pytest.mark.usefixtures("has_ipv6")
def test_the_own_socket_of_the_ipv4_wildcard_comes_first() -> None:
    with listener("0.0.0.0") as four, socket.socket(socket.AF_INET6) as six:
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        six.bind(("::", port(four)))
        six.listen()
        inherited = ActivatedSockets([("", six), ("", four)])
        assert inherited.take(TcpAddress("0.0.0.0", port(four))) is four
        assert inherited.take(TcpAddress("::", port(four))) is six


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="systemd is not installed")
def test_systemd_itself_passes_a_socket() -> None:
    with listener() as probe:
        number = port(probe)
    code = """
import sys
from pingap.config import parse_listen
from pingap.supervisor.activation import ActivatedSockets
inherited = ActivatedSockets.from_environment()
sock = inherited.take(*parse_listen(sys.argv[1]))
sock.settimeout(20)
connection, _ = sock.accept()
connection.sendall(b"served")
"""
    address = f"127.0.0.1:{number}"
    tool = ["systemd-socket-activate", "-l", address, sys.executable, "-c", code, address]
    process = subprocess.Popen(tool, stderr=subprocess.PIPE, text=True)
    with process:
        until(lambda: is_open(number))
        assert process.stderr is not None
        process.wait(20)
    assert process.returncode == 0


def is_open(number: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", number), 10) as client:
            return client.recv(100) == b"served"
    except ConnectionRefusedError:
        return False
