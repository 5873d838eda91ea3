"""Waiting for what the cache does in the background."""

from __future__ import annotations

import time

from pingap.testing import Proxy


def written(proxy: Proxy) -> None:
    """Return when nothing is being written to a store any more."""
    until = time.perf_counter() + 10
    while proxy.metrics().value("pingap_cache_writing"):
        assert time.perf_counter() < until, "the cache is still writing"
