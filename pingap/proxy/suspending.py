"""How a lifecycle waits. Never compiled, so that compiled and interpreted coroutines can await it alike."""

from __future__ import annotations

import types
from collections.abc import Generator


@types.coroutine
def suspend() -> Generator[None, None, None]:
    """Return when a callback wakes the exchange."""
    yield
