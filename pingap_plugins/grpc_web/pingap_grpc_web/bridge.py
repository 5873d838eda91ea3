"""The location key ``grpc_web``: requests of gRPC-Web become gRPC, and the answers become gRPC-Web.

All else passes untouched, preflights of CORS among it: who may call from where is the business of
other plugins.
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
    """A request of gRPC-Web: what it was, and how it is answered."""

    request: GrpcWebType
    text: bool
    answer: AnswerFilter | None = None


class GrpcWeb(Plugin):
    """Converts requests of gRPC-Web to gRPC, and their answers back; all else passes untouched.

    A request is one of gRPC-Web by its content type: `application/grpc-web`, or
    `application/grpc-web-text` for base64, with a suffix such as `+proto` or without.
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
        """None of them, if the key is false."""
        return None if self._on else ()

    @classmethod
    @hookimpl
    def pingap_plugin_categories(cls) -> Sequence[type[Plugin]]:
        """Name nothing: the class serves the key only."""
        return ()

    @classmethod
    @hookimpl
    def pingap_location_keys(cls) -> Mapping[str, type[Plugin]]:
        """Claim ``grpc_web``."""
        return {"grpc_web": cls}

    @hookimpl
    def early_request(self, request: Request, ctx: RequestContext) -> None:
        """Make it a request of gRPC, for all plugins behind, and for what makes error pages."""
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
        """Make the head of a gRPC answer one of gRPC-Web, and an error of ours a status of gRPC.

        What else is no gRPC, passes as it is.
        """
        call: _Call | None = ctx.state.get(_STATE)
        if call is None:
            return
        call.answer = None  # a first answer may have failed; this is the error page then
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
        # Whole already, and no filter runs for an error page.
        response.body = (answer.feed(response.body) if response.body else b"") + answer.end(
            Headers()
        )
        response.content_length = len(response.body)

    @hookimpl
    def response_body(self, ctx: RequestContext) -> BodyFilter | None:
        """Put the trailers into the body."""
        call: _Call | None = ctx.state.get(_STATE)
        return None if call is None else call.answer
