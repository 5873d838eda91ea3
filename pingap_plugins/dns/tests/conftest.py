"""Makes ``nameserver`` importable, which these tests share, and starts one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # at the end: no module of other tests is hidden by it

from nameserver import NameServer


@pytest.fixture
def server() -> Iterator[NameServer]:
    """A name server on a port of loopback, by UDP and TCP."""
    with NameServer() as running:
        yield running
