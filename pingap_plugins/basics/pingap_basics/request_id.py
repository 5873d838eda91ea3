"""Gives every request an ID: for the upstream, the client, the access log and error pages."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from pingap import Plugin, PluginSettings, Request, RequestContext, Response, field, hookimpl
from pingap_basics.ids import Nanoid, uuid7
from pingap_basics.keys import HeaderName

_ACCEPTABLE = re.compile(rb"[!-~]{1,128}")
"""Maximum length of client IDs that are kept: they are written to logs and headers unchanged."""


class RequestId(Plugin):
    """Keeps the ID of a request, or creates one; it is sent to the upstream and the client.

    An ID that is longer than 128 characters, or contains anything but visible ASCII, is replaced.
    """

    category = "request_id"
    may_fail_open = True
    steps = ("request", "proxy_upstream")

    class Settings(PluginSettings):
        """Settings of ``request_id``."""

        algorithm: Literal["uuid", "nanoid"] = "uuid"
        """How an ID is generated: ``uuid`` (version 7) or ``nanoid``."""
        size: Annotated[int, Field(ge=1, le=128)] = 8
        """Number of characters of a nanoid."""
        header_name: HeaderName = "x-request-id"
        """The header with the ID, in requests and responses."""

    def __init__(self, settings: Settings) -> None:
        self._key, self._line = field(settings.header_name, "")
        self._new_id = uuid7 if settings.algorithm == "uuid" else Nanoid(settings.size)

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> None:
        """Find or create the ID."""
        headers = request.headers
        brought = headers.find(self._key)
        if brought is not None and _ACCEPTABLE.fullmatch(brought):
            ctx.request_id = brought.decode("ascii")
            return
        new_id = self._new_id
        ctx.request_id = new = new_id()
        prepared = self._key, self._line + new.encode("ascii")
        if brought is None:
            headers.append(prepared)
        else:
            headers.replace(prepared)

    @hookimpl
    def response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        """Tell the client."""
        # There is none if an earlier plugin answered.
        if request_id := ctx.request_id:
            response.headers.replace((self._key, self._line + request_id.encode("ascii")))
