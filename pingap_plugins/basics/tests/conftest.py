"""Fixtures of these tests; proxies and upstreams come from ``pingap.testing``."""

from __future__ import annotations

import pytest

from pingap import RequestContext
from pingap.testing import make_context


@pytest.fixture
def ctx() -> RequestContext:
    """The state of a request of a client that is no trusted proxy."""
    return make_context(client_ip="192.0.2.7")
