"""Makes the applications that these tests share importable, and serves them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pingap.testing import Proxy

HERE = Path(__file__).parent
sys.path.append(str(HERE))  # at the end: no module of other tests is hidden by it

import asgi_raw  # noqa: E402  # found there


@pytest.fixture
def serve(proxy: Proxy) -> Iterator[Callable[..., Proxy]]:
    """Return a function that serves an application: ``serve("asgi_raw:echo", asgi_root_path="/api")``."""

    asgi_raw.clear()

    def serve(app: str, path: str = "/", **keys: object) -> Proxy:
        proxy.location(
            path, asgi=app, asgi_dir=str(HERE), **{"upstream": "", "asgi_lifespan": "off", **keys}
        )
        return proxy

    yield serve
    asgi_raw.go.set()  # so that no application waits for the test any more
