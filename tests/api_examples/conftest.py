"""These tests use the fixtures of ``pingap.testing``, not those of the tests around them."""

from __future__ import annotations

from pingap.testing.fixtures import clock, proxy, start_proxy, upstream

__all__ = ["clock", "proxy", "start_proxy", "upstream"]
