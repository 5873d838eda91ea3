"""Starts the OpenID provider, and says where everything is."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """Where the provider is, and where the site has to be."""

    issuer: str
    site: str

    @property
    def addr(self) -> str:
        """Host and port of the site."""
        return self.site.removeprefix("http://")


@contextmanager
def provider(folder: Path, lifetime: int = 3600) -> Iterator[Place]:
    """Run a provider; it ends with the block."""
    port, site_port = _free_port(), _free_port()
    place = Place(f"http://127.0.0.1:{port}/o", f"http://127.0.0.1:{site_port}")
    script = Path(__file__).with_name("oidc_provider.py")
    command = [sys.executable, str(script), str(folder), str(port), place.site, str(lifetime)]
    with (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n", (folder / "errors").read_text()
        yield place
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
