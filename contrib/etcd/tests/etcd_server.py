"""A real etcd server, which can be killed and started again at the same port."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from support.waiting import until

PROGRAM = shutil.which("etcd")
CONTROL = shutil.which("etcdctl")

needs_etcd = pytest.mark.skipif(
    (PROGRAM is None or CONTROL is None) and os.environ.get("CI") != "true",
    reason="needs etcd and etcdctl (Debian: etcd-server, etcd-client)",
)
"""Where CI runs, its absence is a failure."""


def free_port() -> int:
    """Return a port at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Etcd:
    """An etcd with one member.

    :param folder: for its log; the data are in memory where the system allows it.
    :param arguments: more of its options.
    :param tls: the authority's file, and files of the server's certificate and key.
    :param client: certificate and key for ``etcdctl``, if clients need one.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        tls: tuple[Path, Path, Path] | None = None,
        client: tuple[Path, Path] | None = None,
    ) -> None:
        shared = Path("/dev/shm")
        self._data = tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None)
        self.folder = folder
        self.port, peer = free_port(), f"http://127.0.0.1:{free_port()}"
        self.hosts = f"127.0.0.1:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.hosts}"
        self.user = ""
        self._tls = ["--cacert", str(tls[0])] if tls else []
        if client:
            self._tls += ["--cert", str(client[0]), "--key", str(client[1])]
        self._arguments = [
            *("--data-dir", f"{self._data.name}/data", "--log-level", "error"),
            *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}"),
            *("--heartbeat-interval", "50", "--election-timeout", "500"),
            *(("--cert-file", str(tls[1]), "--key-file", str(tls[2])) if tls else ()),
            *arguments,
        ]
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert PROGRAM is not None, "etcd is not installed"
        with (self.folder / "etcd.log").open("ab") as log:
            self.process = subprocess.Popen([PROGRAM, *self._arguments], stdout=log, stderr=log)
        until(lambda: self._ctl("endpoint", "health").returncode == 0, "etcd does not start", 20)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Let it keep its connections without answering."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def ctl(self, *arguments: str, text: str | bytes = "") -> str:
        """Run ``etcdctl``; return what it prints."""
        done = self._ctl(*arguments, text=text)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    def put(self, key: str, text: str | bytes) -> None:
        """Set a key."""
        self.ctl("put", key, text=text)

    def get(self, prefix: str) -> dict[str, str]:
        """Return the keys that begin with a text."""
        keys = self.ctl("get", "--prefix", "--keys-only", prefix).split()
        return {key: self.ctl("get", "--print-value-only", key)[:-1] for key in keys}

    def post(self, path: str, body: str, headers: dict[str, str]) -> str:
        """Make a request to the gateway; return the answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", path, body, headers)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    @property
    def revision(self) -> int:
        """The current revision."""
        text = self.ctl("endpoint", "status", "-w", "json")
        return int(text.partition('"revision":')[2].partition(",")[0])

    def _ctl(self, *arguments: str, text: str | bytes = "") -> subprocess.CompletedProcess[bytes]:
        assert CONTROL is not None, "etcdctl is not installed"
        user = ["--user", self.user] if self.user else []
        return subprocess.run(
            [CONTROL, "--endpoints", self.url, *self._tls, *user, *arguments],
            input=text.encode() if isinstance(text, str) else text,
            capture_output=True,
            env={**os.environ, "ETCDCTL_API": "3"},
            timeout=20,
            check=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._data.cleanup()
