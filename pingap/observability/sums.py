"""Sums of what several workers have counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def add_nested(total: dict[str, Any], part: Mapping[str, Any]) -> None:
    """Add numbers at the leaves; lists are added place by place."""
    for key, value in part.items():
        if isinstance(value, dict):
            add_nested(total.setdefault(key, {}), value)
        elif isinstance(value, list):
            present = total.get(key) or [0] * len(value)
            total[key] = [one + other for one, other in zip(present, value, strict=True)]
        else:
            total[key] = total.get(key, 0) + value
