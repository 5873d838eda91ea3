"""Fixtures for plugins that are made from the template."""

from __future__ import annotations

import pytest
from template.environment import Environment, shared_environment


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Environment:
    """The plugins, built and installed; the same for all workers of pytest-xdist."""
    folder = tmp_path_factory.getbasetemp()
    return shared_environment(folder if worker_id == "master" else folder.parent)
