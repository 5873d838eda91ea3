"""Fixtures for what is tested with every reader of plain heads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.readers import READERS, reading_with


@pytest.fixture(params=READERS, scope="module")
def reader(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of the readers that decoders use."""
    with reading_with(request.param):
        yield request.param
