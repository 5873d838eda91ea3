"""The content types of gRPC and gRPC-Web, and how they correspond."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_END: Final = r"(?P<message>\+[!#$&^_.+\-0-9a-z]+)?[ \t]*(?:;.*)?"
_GRPC_WEB: Final = re.compile(
    r"application/grpc-web(?P<text>-text(?:-base64)?)?" + _END, re.IGNORECASE
)
_GRPC: Final = re.compile(r"application/grpc" + _END, re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class GrpcWebType:
    """A content type of gRPC-Web.

    :param text: whether the body is base64.
    :param message: the message format, with its plus: ``+proto``; empty if unspecified.
    """

    text: bool
    message: str

    @property
    def grpc(self) -> str:
        """The content type for a gRPC server. Parameters are omitted, because some servers reject them."""
        return f"application/grpc{self.message}"

    def answered(self, message: str = "", *, text: bool) -> str:
        """Return the content type for the client.

        :param message: the message format of the response, if specified.
        """
        name = "application/grpc-web-text" if text else "application/grpc-web"
        return name + (message or self.message)


@lru_cache(maxsize=256)
def parse(value: str) -> GrpcWebType | None:
    """Return the parsed content type; None if it is not gRPC-Web."""
    match = _GRPC_WEB.fullmatch(value.strip())
    if match is None:
        return None
    return GrpcWebType(text=match["text"] is not None, message=match["message"] or "")


@lru_cache(maxsize=256)
def accepts_text(accept: str, request: GrpcWebType) -> bool:
    """Return whether the response should be base64.

    ``Accept`` decides (the spec, "Text-encoded streams"); clients that list no gRPC-Web type there get the
    type that they sent.
    """
    for one in accept.split(","):
        if (kind := parse(one)) is not None:
            return kind.text
    return request.text


@lru_cache(maxsize=256)
def answer_type(value: str, request: GrpcWebType, *, text: bool) -> str | None:
    """Return the content type for the client; None if the response is not gRPC.

    :param value: the content type of the upstream's response.
    """
    match = _GRPC.fullmatch(value.strip())
    return None if match is None else request.answered(match["message"] or "", text=text)
