"""How a request ended."""

from __future__ import annotations

from enum import StrEnum


class RequestOutcome(StrEnum):
    """How a request ended, as far as the proxy knows (``ctx.outcome``).

    An error page is a complete response, too: see ``ctx.status`` and ``ctx.error`` for the error.
    """

    COMPLETE = "complete"
    """The whole response was passed to the client's connection."""
    CLIENT_GONE = "client_gone"
    """The client disconnected before that."""
    BROKEN_OFF = "broken_off"
    """The response was cut off because of the upstream, a plugin, or a limit; see ``ctx.error``."""
