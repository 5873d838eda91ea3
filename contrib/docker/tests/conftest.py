"""Makes ``daemon`` importable, which these tests share, and starts one."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # at the end: no module of other tests is hidden by it

from daemon import Daemon


@pytest.fixture
def socket_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The path of the socket that ``DOCKER_HOST`` names; nobody listens there."""
    with tempfile.TemporaryDirectory() as folder:  # tmp_path may be too long for a socket
        path = Path(folder) / "docker.sock"
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        yield path


@pytest.fixture
def daemon(socket_path: Path) -> Iterator[Daemon]:
    """A daemon on that socket."""
    with Daemon(socket_path) as running:
        yield running
