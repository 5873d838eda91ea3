"""What these tests share; proxies and upstreams come from ``pingap.testing``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pingap.testing import Proxy

sys.path.append(str(Path(__file__).parent))  # at the end: no module of other tests is hidden by it


@pytest.fixture
def guarded(proxy: Proxy) -> Callable[..., Proxy]:
    """Describe a proxy with one plugin in front of the upstream: ``guarded(category, **settings)``."""

    def describe(category: str, **settings: object) -> Proxy:
        proxy.location("/", plugins=[(category, settings)])
        return proxy

    return describe
