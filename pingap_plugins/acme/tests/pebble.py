"""A real authority: pebble, with the DNS server that it asks (both of Debian's package ``pebble``)."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Issued, issue
from support.waiting import until


def free_port() -> int:
    """Return a port that nobody uses at the moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Pebble:
    """A running authority.

    :param folder: for its files.
    :param more: environment variables, such as ``PEBBLE_WFE_NONCEREJECT``.
    """

    def __init__(self, folder: Path, more: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        self.http_port, self.tls_port = free_port(), free_port()
        self.port, self.management, self.dns, self.dns_management = (free_port() for _ in range(4))
        self.root = issue(ca=True, common_name="the authority itself")
        own: Issued = issue("127.0.0.1", "localhost", by=self.root)
        cert, key = own.write(folder, "pebble")
        self.ca_file = folder / "pebble-root.pem"
        self.ca_file.write_text(self.root.cert)
        config = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": cert,
            "privateKey": key,
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            "externalAccountBindingRequired": False,
            **settings,
        }
        file = folder / "pebble.json"
        file.write_text(json.dumps({"pebble": config}))
        environment = {
            **os.environ,
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_WFE_NONCEREJECT": "0",
            **more,
        }
        self.log = folder / "pebble.log"
        names = f"127.0.0.1:{self.dns}"
        off = [f"-{one}=" for one in ("http01", "https01", "tlsalpn01")]
        with self.log.open("wb") as log:
            self._processes = [
                subprocess.Popen(command, stdout=log, stderr=log, env=environment)
                for command in (
                    ["pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", names,
                     "-management", f"127.0.0.1:{self.dns_management}", *off],
                    ["pebble", "-config", str(file), "-dnsserver", names],
                )
            ]  # fmt: skip
        try:
            until(lambda: all(map(_answers, (self.port, self.management, self.dns_management))), 20)
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """Its directory."""
        return f"https://127.0.0.1:{self.port}/dir"

    def stop(self) -> None:
        """End it."""
        for process in self._processes:
            process.kill()
            process.wait(10)


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def pebble(
    folder: Path, more: Mapping[str, str] | None = None, **settings: Any
) -> Iterator[Pebble]:
    """Start an authority."""
    if shutil.which("pebble") is None:
        if os.environ.get("CI"):
            pytest.fail("pebble is not installed")
        pytest.skip("pebble is not installed: apt-get install pebble")
    found = Pebble(folder, more or {}, settings)
    try:
        yield found
    finally:
        found.stop()
