"""Answers with a fixed response, on one path or on all. No upstream is used."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated

import anyio
from pydantic import Field, model_validator

from pingap import (
    Duration,
    HeaderEntry,
    Headers,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    hookimpl,
)
from pingap_basics.keys import ExactPath

_WITHOUT_BODY = (204, 304)


class Mock(Plugin):
    """Answers with a status, headers and a body from the configuration."""

    category = "mock"
    predictable = True
    steps = ("request", "proxy_upstream")

    class Settings(PluginSettings):
        """Settings of ``mock``."""

        path: ExactPath | None = None
        """The path to answer on, compared with the whole path of the request; any path without it."""
        status: Annotated[int, Field(ge=200, le=599)] = 200
        """The status code."""
        headers: list[HeaderEntry] = Field(default_factory=list)
        """Headers as ``Name: value``. A name may occur more than once; a value may be a
        ``$variable``."""
        data: str = ""
        """The body."""
        delay: Duration = 0.0
        """How long to wait before answering."""

        @model_validator(mode="after")
        def _body_fits_status(self) -> Mock.Settings:
            if self.data and self.status in _WITHOUT_BODY:
                raise ValueError(f"found data, expected none: a {self.status} response has no body")
            return self

    def __init__(self, settings: Settings) -> None:
        self._path = settings.path
        self._status = settings.status
        self._entries = settings.headers
        self._body = settings.data.encode()
        self._delay = settings.delay

    @hookimpl
    def request(
        self, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response] | None:
        """Answer on the path, immediately unless there is a delay; let all other requests pass."""
        if self._path is not None and request.path != self._path:
            return None
        response = self._response(request, ctx)
        return self._later(response) if self._delay else response

    def _response(self, request: Request, ctx: RequestContext) -> Response:
        headers = Headers()
        for entry in self._entries:
            entry.add(headers, request, ctx)
        return Response(self._status, self._body, headers)

    async def _later(self, response: Response) -> Response:
        await anyio.sleep(self._delay)
        return response
