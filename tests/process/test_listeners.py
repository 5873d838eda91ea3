"""Listening sockets that come, change and go with a reload."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.process import Process
from support.processes import is_running
from support.waiting import until

from pingap.testing import Client

TOML = """
[basic]
threads = {threads}
upgrade_sock = "{folder}/up.sock"
[plugins.hello]
category = "mock"
data = "hello"
[plugins.slow]
category = "mock"
path = "/slow"
delay = "1s"
[locations.all]
plugins = ["slow", "hello"]
"""
THREADS = [1, 2]


class Site:
    """A proxy whose servers change while it serves."""

    def __init__(
        self, folder: Path, threads: int, addresses: dict[str, str], **options: tuple[str, ...]
    ) -> None:
        self.folder = folder
        self.threads = threads
        self.proxy = Process(self.toml(addresses), folder, **options)

    def toml(self, addresses: dict[str, str], keys: str = "") -> str:
        servers = [
            f'[servers.{name}]\naddr = "{addr}"\nlocations = ["all"]\n{keys}\n'
            for name, addr in addresses.items()
        ]
        return TOML.format(threads=self.threads, folder=self.folder) + "".join(servers)

    def reload(self, addresses: dict[str, str], keys: str = "") -> str:
        """Reload with other servers; return what the log says of it."""
        before = self.proxy.log.count("the configuration")
        length = len(self.proxy.log)
        self.proxy.conf.write_text(self.toml(addresses, keys))
        self.proxy.process.send_signal(signal.SIGHUP)
        until(lambda: self.proxy.log.count("the configuration") > before, self.proxy.log)
        return self.proxy.log[length:]


@contextmanager
def served(folder: Path, threads: int, **addresses: str) -> Iterator[Site]:
    site = Site(folder, threads, addresses)
    with site.proxy:
        yield site


@pytest.fixture
def ports() -> list[int]:
    """Ports that nobody uses just now."""
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        return [int(sock.getsockname()[1]) for sock in socks]


def answers(place: int | str) -> bool:
    try:
        with Client(place if isinstance(place, str) else ("127.0.0.1", place)) as client:
            return client.get("/").body == b"hello"
    except OSError:
        return False


@pytest.mark.parametrize("threads", THREADS)
def test_a_server_comes_and_another_one_goes(
    tmp_path: Path, threads: int, ports: list[int]
) -> None:
    one, two, _ = ports
    with served(tmp_path, threads, web=f"127.0.0.1:{one}") as site:
        log = site.reload({"web": f"127.0.0.1:{one}", "new": f"127.0.0.1:{two}"})
        assert f"listening on 127.0.0.1:{two} (new)" in log
        assert "needs a restart" not in log
        assert answers(one)
        assert all(answers(two) for _ in range(8))
        for pid in site.proxy.workers:  # what takes its place has the socket as well
            os.kill(pid, signal.SIGKILL)
        until(lambda: site.proxy.log.count("will be replaced") == threads)
        until(lambda: len(site.proxy.workers) == threads and answers(two))
        log = site.reload({"new": f"127.0.0.1:{two}"})
        assert f"no longer listening on 127.0.0.1:{one}" in log
        until(lambda: not answers(one))
        assert answers(two)


@pytest.mark.parametrize("threads", THREADS)
def test_connections_of_an_address_that_goes_are_served_to_their_end(
    tmp_path: Path, threads: int, ports: list[int]
) -> None:
    one, two, _ = ports
    with (
        served(tmp_path, threads, web=f"127.0.0.1:{one}") as site,
        Client(("127.0.0.1", one)) as idle,
        Client(("127.0.0.1", one)) as busy,
    ):
        assert idle.get("/").header("connection") is None
        busy.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        site.reload({"web": f"127.0.0.1:{two}"})
        assert answers(two)
        last = idle.get("/")
        assert (last.body, last.header("connection")) == (b"hello", "close")
        assert busy.answer().status == 200
        assert idle.is_closed()
        assert busy.is_closed()


@pytest.mark.parametrize("threads", THREADS)
def test_an_address_may_get_wider_and_narrower(
    tmp_path: Path, threads: int, ports: list[int]
) -> None:
    """The kernel refuses 0.0.0.0 beside 127.0.0.1 unless both allow it."""
    port = ports[0]
    with served(tmp_path, threads, web=f"127.0.0.1:{port}") as site:
        for host in ("0.0.0.0", "127.0.0.1"):
            assert "cannot" not in site.reload({"web": f"{host}:{port}"})
            assert all(answers(port) for _ in range(8))


def test_a_socket_moves_to_another_server(tmp_path: Path, ports: list[int]) -> None:
    one = ports[0]
    with served(tmp_path, 2, web=f"127.0.0.1:{one}") as site:
        with Client(("127.0.0.1", one)) as client:
            client.get("/")
            log = site.reload({"other": f"127.0.0.1:{one}"})
            assert "listening on" not in log
            assert client.get("/").header("connection") == "close"  # its server is gone
        assert answers(one)


@pytest.mark.parametrize("threads", THREADS)
def test_socket_options_change(tmp_path: Path, threads: int, ports: list[int]) -> None:
    addresses = {"web": f"127.0.0.1:{ports[0]}"}
    with served(tmp_path, threads, **addresses) as site:
        log = site.reload(addresses, "backlog = 100\ntcp_fastopen = 3\nreuse_port = true")
        assert "needs a restart" not in log
        assert all(answers(ports[0]) for _ in range(16))
        site.reload(addresses)
        assert all(answers(ports[0]) for _ in range(16))


def test_a_port_in_use_changes_nothing(tmp_path: Path, ports: list[int]) -> None:
    one, two, three = ports
    with (
        served(tmp_path, 2, web=f"127.0.0.1:{one}") as site,
        socket.create_server(("127.0.0.1", two)),
    ):
        log = site.reload({"a": f"127.0.0.1:{three}", "b": f"127.0.0.1:{two}"})
        assert "the configuration stays as it was; the new one cannot be served" in log
        assert f"servers.b.addr: cannot listen on 127.0.0.1:{two}: Address already in use" in log
        assert answers(one)
        assert not answers(three)


def test_unix_sockets_come_and_go(tmp_path: Path, ports: list[int]) -> None:
    with TemporaryDirectory(prefix="pingap-") as name:
        path = f"{name}/web.sock"
        web = f"127.0.0.1:{ports[0]}"
        with served(tmp_path, 2, web=web) as site:
            site.reload({"web": f"{web}, unix:{path}"})
            assert answers(path)
            site.reload({"web": web})
            assert not Path(path).exists()


def test_an_upgrade_after_it_takes_over_what_is_served_now(
    tmp_path: Path, ports: list[int]
) -> None:
    one, two, _ = ports
    with served(tmp_path, 2, web=f"127.0.0.1:{one}") as site:
        site.reload({"web": f"127.0.0.1:{two}"})
        old = site.proxy.workers
        site.proxy.process.send_signal(signal.SIGUSR2)
        site.proxy.wait_for_log("a new process has taken over", 20)
        until(lambda: not any(map(is_running, old)))
        assert answers(two)
        assert not answers(one)


PASS_ON = """
import os, socket, sys
fd = socket.create_server(("127.0.0.1", int(sys.argv[1]))).detach()
os.dup2(fd, 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
os.execv(sys.executable, [sys.executable, "-m", "pingap", *sys.argv[2:]])
"""


def test_a_socket_of_systemd_is_kept_for_a_reload_that_needs_it(
    tmp_path: Path, ports: list[int]
) -> None:
    one, two, _ = ports
    program = (sys.executable, "-c", PASS_ON, str(one))
    first, second = {"web": f"127.0.0.1:{one}"}, {"web": f"127.0.0.1:{two}"}
    site = Site(tmp_path, 2, second, program=program)
    with site.proxy:
        assert f"no server listens on 127.0.0.1:{one} (web), which was passed on" in (
            site.proxy.start_text
        )
        for addresses in (first, second, first):
            assert "cannot" not in site.reload(addresses)
            assert answers(one if addresses is first else two)


@pytest.mark.timeout(300)  # 55 reloads
def test_no_file_is_left_open(tmp_path: Path, ports: list[int]) -> None:
    one, two, three = ports
    turns = [
        ({"web": f"127.0.0.1:{one}, 127.0.0.1:{two}"}, ""),
        ({"web": f"127.0.0.1:{one}"}, "reuse_port = true"),
        ({"web": f"127.0.0.1:{one}", "new": f"127.0.0.1:{three}"}, ""),
        ({"web": f"127.0.0.1:{one}", "wrong": "192.0.2.1:1"}, ""),
        ({"web": f"127.0.0.1:{one}"}, ""),
    ]
    with served(tmp_path, 2, web=f"127.0.0.1:{one}") as site:

        def files() -> list[int]:
            pids = (site.proxy.process.pid, *site.proxy.workers)
            return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids]

        for addresses, keys in turns:
            site.reload(addresses, keys)
        before = files()
        for _ in range(10):
            for addresses, keys in turns:
                site.reload(addresses, keys)
        until(lambda: files() == before)


@pytest.mark.parametrize("threads", THREADS)
def test_not_one_request_is_lost(tmp_path: Path, threads: int, ports: list[int]) -> None:
    one, two, three = ports
    web = f"127.0.0.1:{one}"
    stop, lost, count = threading.Event(), [], [0, 0]

    def ask(index: int) -> None:
        """Ask on one connection, and on one that is new for each request, of the server that stays."""
        kept = None
        while not stop.is_set():
            try:
                if index or kept is None:
                    kept = Client(("127.0.0.1", one))
                answer = kept.get("/")
                count[index] += answer.body == b"hello"
                if index or answer.header("connection") == "close":
                    kept.close()
                    kept = None
            except (OSError, AssertionError) as error:
                lost.append(error)
                break
        if kept is not None:
            kept.close()

    with served(tmp_path, threads, web=web) as site:
        clients = [threading.Thread(target=ask, args=(index,)) for index in (0, 1)]
        for client in clients:
            client.start()
        for other in (two, three, two):
            site.reload({"web": web, "other": f"127.0.0.1:{other}"})
            assert answers(other)
        site.reload({"web": web}, "reuse_port = true\nbacklog = 512")
        site.reload({"web": web})
        stop.set()
        for client in clients:
            client.join()
    assert lost == []
    assert min(count) > 5
