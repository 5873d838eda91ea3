"""What these tests share: a directory, and a proxy that serves it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pingap.testing import Proxy

sys.path.append(str(Path(__file__).parent))  # at the end: no module of other tests is hidden by it


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "www"
    root.mkdir()
    return root


@pytest.fixture
def site(proxy: Proxy, root: Path) -> Callable[..., Proxy]:
    """Describe a proxy that serves ``root``: ``site(autoindex=True)``."""

    def describe(**settings: object) -> Proxy:
        proxy.location("/", plugins=[("directory", {"path": str(root), **settings})])
        return proxy

    return describe
