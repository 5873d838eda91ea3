"""The fixtures of ``pingap.testing``, which pytest finds through the entry point group ``pytest11``.

Loaded by every pytest run in an environment with pingap, so everything that a run may not need is imported
by the fixtures themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pingap.testing import Clock, Proxy, Upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream that echoes unless configured otherwise; an error in a script fails the test."""
    from pingap.testing import Upstream

    with Upstream() as running:
        yield running


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[Proxy]:
    """A proxy in front of ``upstream``, to be described with ``proxy.location(...)``.

    It starts with the first request. An unexpected error in its log fails the test.
    """
    from pingap.testing import Proxy

    described = Proxy(upstream=upstream)
    try:
        yield described
    finally:
        described.stop()
    described.check()


@pytest.fixture
def start_proxy() -> Iterator[Callable[..., Proxy]]:
    """Start proxies from TOML: ``start_proxy(toml, categories=[MyPlugin])``; see ``Proxy``."""
    from pingap.testing import Proxy

    with ExitStack() as running:

        def start(toml: str, **options: object) -> Proxy:
            return running.enter_context(Proxy(toml, **options))  # type: ignore[arg-type]

        yield start


@pytest.fixture
def clock() -> Iterator[Clock]:
    """A clock to move: ``clock.advance(seconds)``; see ``Clock`` for what it moves."""
    from pingap.testing import Clock

    with Clock() as moved:
        yield moved
