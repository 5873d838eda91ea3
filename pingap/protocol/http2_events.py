"""The events that the HTTP/2 codecs return for received frames."""

from __future__ import annotations

from typing import TypeAlias

from pingap.http.errors import BadRequest
from pingap.http.headers import Headers
from pingap.http.request import Request
from pingap.http.response import Response


class RequestReceived:
    """A stream began.

    :param ended: whether the head is the end of the stream.
    :param refusal: the response instead of passing the request on.
    """

    __slots__ = ("ended", "refusal", "request", "stream_id")

    def __init__(
        self, stream_id: int, request: Request, ended: bool, refusal: BadRequest | None
    ) -> None:
        self.stream_id = stream_id
        self.request = request
        self.ended = ended
        self.refusal = refusal


class ResponseReceived:
    """A response began, interim or final.

    :param ended: whether the head is the end of the stream.
    """

    __slots__ = ("ended", "response", "stream_id")

    def __init__(self, stream_id: int, response: Response, ended: bool) -> None:
        self.stream_id = stream_id
        self.response = response
        self.ended = ended


class DataReceived:
    """A piece of a body, possibly empty.

    :param size: bytes taken from the windows: data and padding.
    """

    __slots__ = ("data", "ended", "size", "stream_id")

    def __init__(self, stream_id: int, data: bytes, size: int, ended: bool) -> None:
        self.stream_id = stream_id
        self.data = data
        self.size = size
        self.ended = ended


class TrailersReceived:
    """A body ended with trailers."""

    __slots__ = ("stream_id", "trailers")

    def __init__(self, stream_id: int, trailers: Headers | None) -> None:
        self.stream_id = stream_id
        self.trailers = trailers


class StreamReset:
    """A stream was reset, by the peer or because the peer broke a rule on it.

    :param code: of the RST_STREAM.
    :param broken: the rule; empty if the peer has reset the stream.
    """

    __slots__ = ("broken", "code", "stream_id")

    def __init__(self, stream_id: int, code: int, broken: str = "") -> None:
        self.stream_id = stream_id
        self.code = code
        self.broken = broken


class WindowOpened:
    """More may be sent.

    :param stream_id: on this stream; 0: possibly on every stream.
    """

    __slots__ = ("stream_id",)

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id


class SettingsReceived:
    """The peer sent its settings, so more may be sent."""

    __slots__ = ()


class PingAnswered:
    """The peer answered a PING of ours."""

    __slots__ = ()


class GoawayReceived:
    """The peer will ignore streams that are opened from now on.

    :param last_stream_id: it may have processed this stream and those before.
    """

    __slots__ = ("code", "debug", "last_stream_id")

    def __init__(self, last_stream_id: int, code: int, debug: str) -> None:
        self.last_stream_id = last_stream_id
        self.code = code
        self.debug = debug


Event: TypeAlias = (
    RequestReceived
    | ResponseReceived
    | DataReceived
    | TrailersReceived
    | StreamReset
    | WindowOpened
    | SettingsReceived
    | PingAnswered
    | GoawayReceived
)
