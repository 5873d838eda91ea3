"""How side calls fail: one exception, whose message may stand in a log."""

from __future__ import annotations

from pingap.http.errors import PingapError


class SideCallError(PingapError):
    """A side call brought no answer, or not all of it; the message gives the reason, for the log.

    It names the URL without user name, password and query.
    """
