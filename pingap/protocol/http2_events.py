"""What the codec of HTTP/2 says of the frames that a client sends."""

from __future__ import annotations

from typing import TypeAlias

from pingap.errors import BadRequest
from pingap.messages import Headers, Request


class RequestReceived:
    """A stream began.

    :param ended: nothing follows the head.
    :param refusal: what the request is to be answered with instead of being passed on.
    """

    __slots__ = ("ended", "refusal", "request", "stream_id")

    def __init__(
        self, stream_id: int, request: Request, ended: bool, refusal: BadRequest | None
    ) -> None:
        self.stream_id = stream_id
        self.request = request
        self.ended = ended
        self.refusal = refusal


class DataReceived:
    """A piece of a request body, possibly empty.

    :param size: bytes that are taken from the windows: those of the data, and its padding.
    """

    __slots__ = ("data", "ended", "size", "stream_id")

    def __init__(self, stream_id: int, data: bytes, size: int, ended: bool) -> None:
        self.stream_id = stream_id
        self.data = data
        self.size = size
        self.ended = ended


class TrailersReceived:
    """A request body ended with trailers."""

    __slots__ = ("stream_id", "trailers")

    def __init__(self, stream_id: int, trailers: Headers) -> None:
        self.stream_id = stream_id
        self.trailers = trailers


class StreamReset:
    """A stream ended before its time, by the client or because the client broke a rule on it."""

    __slots__ = ("stream_id",)

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id


class WindowOpened:
    """More may be sent.

    :param stream_id: on this stream; 0: perhaps on every one.
    """

    __slots__ = ("stream_id",)

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id


class PingAnswered:
    """The client answered a PING of ours."""

    __slots__ = ()


class ClientLeaves:
    """The client will open no more streams (GOAWAY)."""

    __slots__ = ()


Event: TypeAlias = (
    RequestReceived
    | DataReceived
    | TrailersReceived
    | StreamReset
    | WindowOpened
    | PingAnswered
    | ClientLeaves
)
