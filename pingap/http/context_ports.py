"""What works on a request, as far as the context of the request knows it."""

from __future__ import annotations

from typing import Any, Protocol

from pingap.http.response import Response


class RunningExchange(Protocol):
    """Passes a request and its response between client and upstream."""

    client_full: bool

    async def read_response(self, response: Response, limit: int) -> bytes | None:
        """Return the whole body of an upstream's response."""

    def on_client_full(self, full: bool) -> None:
        """Record whether the client accepts more data."""


class AnyOrigin(Protocol):
    """An origin (:class:`pingap.Origin`)."""

    name: str
    peer: Any

    def answer(self, call: Any) -> None:
        """Begin to answer a request."""
