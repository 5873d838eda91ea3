"""Marks tests that show a defect that is not mended yet."""

from __future__ import annotations

import pytest


def defect(what: str) -> pytest.MarkDecorator:
    """Expect a test to fail until the defect is mended; then its success asks for this to go."""
    return pytest.mark.xfail(strict=True, reason=f"defect: {what}")
