"""The exception of side calls, whose message can be logged."""

from __future__ import annotations

from pingap.http.errors import PingapError


class SideCallError(PingapError):
    """A side call got no response, or not all of it; the message gives the reason, for the log.

    It names the URL without user name, password and query.
    """
