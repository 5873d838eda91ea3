"""The body of a response: the gRPC messages unchanged, then the trailers as a last message."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from pingap import BodyFilter, Field, Headers, Response, field
from pingap_grpc_web.text import TextEncoder

_STATUS: Final = (b"grpc-status", b"grpc-message", b"grpc-status-details-bin")

_NO_STATUS: Final = (
    field("grpc-status", "2"),
    field("grpc-message", "the answer of the upstream ended without a status"),
)
"""The status for clients in that case: UNKNOWN (doc/http-grpc-status-mapping.md of grpc)."""

_UNKNOWN: Final = 2
_CODES: Final = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
"""HTTP status -> gRPC status, as in gRPC clients (the same page); all others: UNKNOWN."""


def error_status(http_status: int) -> list[Field]:
    """Return the status of a call that was answered with an HTTP error."""
    known = {one.value: one.phrase for one in HTTPStatus}
    return [
        field("grpc-status", str(_CODES.get(http_status, _UNKNOWN))),
        field("grpc-message", known.get(http_status, f"HTTP status {http_status}")),
    ]


def trailers_frame(fields: Iterable[Field]) -> bytes:
    """Return trailers as a message whose flag is 0x80, with names in lower case."""
    block = b"".join(b"%b%b\r\n" % (key, line[len(key) :]) for key, line in fields)
    return b"\x80" + len(block).to_bytes(4, "big") + block


def take_status(response: Response) -> list[Field]:
    """Take the status of a trailers-only response out of its head.

    Pages from another origin could not read it there, and clients would otherwise find it twice.

    :returns: empty if it is not such a response.
    """
    headers = response.headers
    if "grpc-status" not in headers:
        return []
    found = [one for one in headers.fields if one[0] in _STATUS]
    headers.fields = [one for one in headers.fields if one[0] not in _STATUS]
    return found


class AnswerFilter(BodyFilter):
    """Passes messages on, as base64 if the client requests text, and ends with the trailers.

    :param status: the status from the head of a trailers-only response.
    """

    def __init__(self, status: list[Field], *, text: bool) -> None:
        self._status = status
        self._encoder = TextEncoder() if text else None

    def feed(self, chunk: bytes) -> bytes:
        """Pass a piece of the messages on."""
        return self._encoder.feed(chunk) if self._encoder else chunk

    def end(self, trailers: Headers) -> bytes:
        """Return the trailers as the last message; none are sent after the body."""
        fields = trailers.fields
        if "grpc-status" not in trailers:
            fields += self._status or _NO_STATUS
        trailers.fields = []
        frame = trailers_frame(fields)
        if self._encoder is None:
            return frame
        return self._encoder.end() + self._encoder.feed(frame)
