"""The content types of gRPC and of gRPC-Web, and which belongs to which."""

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

    :param text: the body is base64.
    :param message: how messages are written, with its plus: ``+proto``; empty if that is not said.
    """

    text: bool
    message: str

    @property
    def grpc(self) -> str:
        """The content type for a gRPC server. Parameters are left out: some servers refuse them."""
        return f"application/grpc{self.message}"

    def answered(self, message: str = "", *, text: bool) -> str:
        """Return the content type for the client.

        :param message: how the messages of the answer are written, if that is said.
        """
        name = "application/grpc-web-text" if text else "application/grpc-web"
        return name + (message or self.message)


@lru_cache(maxsize=256)
def parse(value: str) -> GrpcWebType | None:
    """Return what a content type says; None if it is none of gRPC-Web."""
    match = _GRPC_WEB.fullmatch(value.strip())
    if match is None:
        return None
    return GrpcWebType(text=match["text"] is not None, message=match["message"] or "")


@lru_cache(maxsize=256)
def accepts_text(accept: str, request: GrpcWebType) -> bool:
    """Tell whether the answer is to be base64.

    ``Accept`` says it (the spec, "Text-encoded streams"); clients that name no type of gRPC-Web there
    get what they sent.
    """
    for one in accept.split(","):
        if (kind := parse(one)) is not None:
            return kind.text
    return request.text


@lru_cache(maxsize=256)
def answer_type(value: str, request: GrpcWebType, *, text: bool) -> str | None:
    """Return the content type for the client; None if the answer is not gRPC.

    :param value: the content type of the upstream's answer.
    """
    match = _GRPC.fullmatch(value.strip())
    return None if match is None else request.answered(match["message"] or "", text=text)
