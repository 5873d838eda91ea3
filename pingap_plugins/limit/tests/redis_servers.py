"""Real Redis servers: alone, with sentinels, and as a cluster."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from limit_processes import until
from redis_certificates import Files

PROGRAM = shutil.which("redis-server")

needs_redis = pytest.mark.skipif(
    PROGRAM is None and os.environ.get("CI") != "true",
    reason="needs redis-server (Debian: redis-server)",
)
"""Where CI runs, its absence is a failure."""


def free_port() -> int:
    """Return a port at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Redis:
    """A redis-server, which can be stopped and started again at the same port.

    :param tls: with which it speaks TLS only.
    :param password: it asks for.
    """

    def __init__(
        self, folder: Path, *arguments: str, tls: Files | None = None, password: str = ""
    ) -> None:
        self.port = free_port()
        self.addr = f"127.0.0.1:{self.port}"
        self.folder = folder
        port = str(self.port)
        ports = ("--port", "0", "--tls-port", port, *tls.arguments) if tls else ("--port", port)
        secret = ("--requirepass", password, "--masterauth", password) if password else ()
        self._arguments = (*arguments, *ports, *(() if "--sentinel" in arguments else secret))
        self._password = password
        self._tls = ssl.create_default_context(cafile=tls.authority) if tls else None
        if self._tls and tls:
            self._tls.check_hostname = False
            self._tls.load_cert_chain(tls.certificate, tls.key)
        folder.mkdir(exist_ok=True)
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, and wait until it answers."""
        assert PROGRAM is not None, "redis-server is not installed"
        command = [PROGRAM, *self._arguments, "--bind", "127.0.0.1"]
        command += ["--save", "", "--dir", str(self.folder), "--daemonize", "no"]
        log = (self.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self.answers, self.folder / "log")
        return self.process

    def stop(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Let it keep its connections without answering."""
        self.process.send_signal(19)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send_signal(18)

    def answers(self) -> bool:
        """Return whether it answers."""
        try:
            return self.ask("PING") in (b"+PONG\r\n", b"-NOAUTH Authentication required.\r\n")
        except OSError:
            return False

    def ask(self, *words: str) -> bytes:
        """Send a command; return the beginning of the answer."""
        with self._connect() as sock:
            if self._password:
                sock.sendall(_command("AUTH", self._password))
                assert sock.recv(65536) == b"+OK\r\n"
            sock.sendall(_command(*words))
            return sock.recv(65536)

    def _connect(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), 5)
        return self._tls.wrap_socket(sock, server_hostname="127.0.0.1") if self._tls else sock


def _command(*words: str) -> bytes:
    text = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    return f"*{len(words)}\r\n{text}".encode()


@contextmanager
def redis_server(
    folder: Path, *arguments: str, tls: Files | None = None, password: str = ""
) -> Iterator[Redis]:
    """Run a server."""
    server = Redis(folder, *arguments, tls=tls, password=password)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def sentinels(
    folder: Path, *, password: str = "", of_sentinel: str = "", tls: Files | None = None
) -> Iterator[tuple[Redis, Redis, Redis]]:
    """Run a primary, a replica, and a sentinel that knows them as ``shop``.

    :param password: of the primary and the replica.
    """
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        primary = stack.enter_context(redis_server(folder / "primary", tls=tls, password=password))
        of_primary = ("--replicaof", "127.0.0.1", str(primary.port))
        replica = stack.enter_context(
            redis_server(folder / "replica", *of_primary, tls=tls, password=password)
        )
        until(lambda: b"master_link_status:up" in replica.ask("INFO", "replication"))
        conf = folder / "sentinel.conf"
        conf.write_text(
            f"sentinel monitor shop 127.0.0.1 {primary.port} 1\n"
            + (f"sentinel auth-pass shop {password}\n" if password else "")
            + "sentinel down-after-milliseconds shop 500\nsentinel failover-timeout shop 2000\n"
            + (f"requirepass {of_sentinel}\n" if of_sentinel else "")
        )
        sentinel = stack.enter_context(
            redis_server(folder / "s", str(conf), "--sentinel", tls=tls, password=of_sentinel)
        )
        until(lambda: b"num-slaves\r\n$1\r\n1" in sentinel.ask("SENTINEL", "MASTER", "shop"))
        yield primary, replica, sentinel


@contextmanager
def cluster(folder: Path, tls: Files | None = None) -> Iterator[list[Redis]]:
    """Run a cluster of two nodes."""
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(
                redis_server(
                    folder / f"{number}",
                    *("--cluster-enabled", "yes", "--cluster-port", str(free_port())),
                    tls=tls,
                )
            )
            for number in range(2)
        ]
        middle = 8192
        nodes[0].ask("CLUSTER", "ADDSLOTSRANGE", "0", str(middle - 1))
        nodes[1].ask("CLUSTER", "ADDSLOTSRANGE", str(middle), "16383")
        bus = nodes[1].ask("CLUSTER", "NODES").split(b"@")[1].split(b" ")[0].split(b",")[0]
        nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", str(nodes[1].port), bus.decode())
        until(lambda: all(b"cluster_state:ok" in one.ask("CLUSTER", "INFO") for one in nodes))
        yield nodes
