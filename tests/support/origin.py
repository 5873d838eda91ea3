"""Scripts for whole connections of an upstream of ``pingap.testing``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from pingap.testing import Served

Script: TypeAlias = Callable[[Served], None]


def echo(served: Served) -> None:
    """Answer every request with its own body, or ``ok``; also when it replaces another script."""
    while (request := served.read_request()) is not None:
        served.respond(request.body or b"ok")
