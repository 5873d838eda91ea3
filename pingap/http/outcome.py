"""How a request ended."""

from __future__ import annotations

from enum import StrEnum


class RequestOutcome(StrEnum):
    """How a request ended, as far as the proxy knows (``ctx.outcome``).

    An error page is a complete answer, too: ``ctx.status`` and ``ctx.error`` say what was wrong.
    """

    COMPLETE = "complete"
    """The whole answer was handed over to the client's connection."""
    CLIENT_GONE = "client_gone"
    """The client left before that."""
    BROKEN_OFF = "broken_off"
    """The answer was cut in the middle, because of the upstream, a plugin, or a limit; see ``ctx.error``."""
