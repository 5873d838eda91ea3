"""Answers ``pong`` on one path, to show that the proxy is alive. No upstream is used.

Listed by a location, it answers there; listed by a server, on every host, before a location is chosen.
"""

from __future__ import annotations

from pingap import Plugin, PluginSettings, Request, RequestContext, Response, hookimpl
from pingap_basics.keys import ExactPath


class Ping(Plugin):
    """Answers 200 ``pong`` on an exact path, for any method."""

    category = "ping"
    predictable = True
    answers = "public"

    class Settings(PluginSettings):
        """Settings of ``ping``."""

        path: ExactPath
        """The path to answer on, compared with the whole path of the request."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.path
        self._pong = Response.text(200, "pong")

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Response | None:
        """Answer on the path; let all other requests pass."""
        return self._pong.copy() if request.path == self._path else None

    @hookimpl
    def server_request(self, request: Request) -> Response | None:
        """Answer on the path, for the whole server."""
        return self._pong.copy() if request.path == self._path else None
