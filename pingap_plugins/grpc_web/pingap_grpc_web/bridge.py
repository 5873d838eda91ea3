"""The location key ``grpc_web``: converts gRPC-Web requests to gRPC, and the responses back.

All other requests pass unchanged, including CORS preflights: cross-origin access is controlled by other
plugins.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pingap import (
    BodyFilter,
    Headers,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    field,
    hookimpl,
)
from pingap_grpc_web.answer import AnswerFilter, error_status, take_status
from pingap_grpc_web.content_type import GrpcWebType, accepts_text, answer_type, parse
from pingap_grpc_web.text import TextDecoder

_STATE: Final = "grpc_web"
_ERRORS: Final = 400
_TE: Final = field("TE", "trailers")


@dataclass(slots=True)
class _Call:
    """A gRPC-Web request: its original form, and how it is answered."""

    request: GrpcWebType
    text: bool
    answer: AnswerFilter | None = None


class GrpcWeb(Plugin):
    """Converts gRPC-Web requests to gRPC, and their responses back; all other requests pass unchanged.

    A gRPC-Web request is identified by its content type: `application/grpc-web`, or
    `application/grpc-web-text` for base64, with or without a suffix such as `+proto`.
    """

    category = "grpc_web"
    body = "rewrites"

    class Settings(PluginSettings):
        """The key."""

        grpc_web: bool
        """Whether requests of gRPC-Web are converted."""

    def __init__(self, settings: Settings) -> None:
        self._on = settings.grpc_web

    def active_phases(self) -> Collection[str] | None:
        """Return no phases if the key is false."""
        return None if self._on else ()

    @classmethod
    @hookimpl
    def pingap_plugin_categories(cls) -> Sequence[type[Plugin]]:
        """Return no classes: the class only serves the key."""
        return ()

    @classmethod
    @hookimpl
    def pingap_location_keys(cls) -> Mapping[str, type[Plugin]]:
        """Claim ``grpc_web``."""
        return {"grpc_web": cls}

    @hookimpl
    def early_request(self, request: Request, ctx: RequestContext) -> None:
        """Turn it into a gRPC request, for all later plugins, and for error pages."""
        headers = request.headers
        kind = parse(headers.get("content-type", ""))
        if kind is None:
            return
        text = accepts_text(headers.get("accept", ""), kind)
        ctx.state[_STATE] = _Call(kind, text)
        headers.set("Content-Type", kind.grpc)
        headers.replace(_TE)

    @hookimpl
    def request_body(self, ctx: RequestContext) -> BodyFilter | None:
        """Decode base64."""
        call: _Call | None = ctx.state.get(_STATE)
        return TextDecoder() if call is not None and call.request.text else None

    @hookimpl
    def response(self, response: Response, ctx: RequestContext) -> None:
        """Convert the head of a gRPC response to gRPC-Web, and an error of the proxy to a gRPC status.

        Other responses pass unchanged.
        """
        call: _Call | None = ctx.state.get(_STATE)
        if call is None:
            return
        call.answer = None  # an earlier response may have failed; this one is then the error page
        value = response.headers.get("content-type", "")
        if (converted := answer_type(value, call.request, text=call.text)) is not None:
            status = take_status(response)
        elif response.status >= _ERRORS and not response.upstream:
            converted = call.request.answered(text=call.text)
            status = error_status(response.status)
            response.status, response.body = 200, b""
        else:
            return
        response.headers.set("Content-Type", converted)
        answer = AnswerFilter(status, text=call.text)
        if response.upstream or not isinstance(response.body, bytes):
            call.answer = answer
            return
        # It is complete, and no filter runs for an error page.
        response.body = (answer.feed(response.body) if response.body else b"") + answer.end(
            Headers()
        )
        response.content_length = len(response.body)

    @hookimpl
    def response_body(self, ctx: RequestContext) -> BodyFilter | None:
        """Append the trailers to the body."""
        call: _Call | None = ctx.state.get(_STATE)
        return None if call is None else call.answer
