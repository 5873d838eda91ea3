"""The exchange of a request, as far as its context knows it."""

from __future__ import annotations

from typing import Protocol

from pingap.http.response import Response


class RunningExchange(Protocol):
    """Passes a request and its response between client and upstream."""

    client_full: bool

    async def read_response(self, response: Response, limit: int) -> bytes | None:
        """Return the whole body of an upstream's response."""

    def on_client_full(self, full: bool) -> None:
        """Record whether the client accepts more data."""
