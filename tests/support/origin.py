"""The upstream of ``pingap.testing``, whose every connection is served by a script."""

from __future__ import annotations

from pingap.testing import Received, Served
from pingap.testing import Upstream as Origin
from pingap.testing.upstream import Script

__all__ = ["Origin", "Received", "Script", "Served", "echo"]


def echo(served: Served) -> None:
    """Answer every request with its own body, or ``ok``."""
    while (request := served.read_request()) is not None:
        served.respond(request.body or b"ok")
