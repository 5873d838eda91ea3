"""Waiting for what the cache does in the background."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from pingap.testing import Proxy


def written(proxy: Proxy, **labels: str) -> None:
    """Return when nothing is being written to a store any more."""
    until = time.perf_counter() + 10
    while proxy.metrics().value("pingap_cache_writing", **labels):
        assert time.perf_counter() < until, "the cache is still writing"


def fill(proxy: Proxy, target: str, headers: Mapping[str, str] | None = None) -> None:
    """Make a request, and wait until its response is stored, if it is."""
    proxy.get(target, headers=headers or {})
    written(proxy)


def until(condition: Callable[[], object]) -> None:
    """Return once a condition holds."""
    end = time.perf_counter() + 10
    while not condition():
        assert time.perf_counter() < end, "it did not happen in time"
        time.sleep(0.01)
