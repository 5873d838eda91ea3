"""The responses of an upstream: functions that answer requests for a path."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

from pingap.testing import websocket
from pingap.testing.fields import FieldsLike, pairs, write_head
from pingap.testing.served import Received, Served, status_line
from pingap.testing.stream import chunk, chunked, last_chunk

Handler: TypeAlias = Callable[[Served, Received], None]
"""Answers a request whose body was read. If it closes the connection, no more requests are read."""

_BODYLESS = (204, 304)


def echo(served: Served, request: Received) -> None:
    """Answer with 200 and the body of the request, or ``ok``."""
    reply(request.body or b"ok")(served, request)


def reply(
    body: bytes | str | Iterable[bytes] = b"ok",
    status: int = 200,
    *,
    headers: FieldsLike = (),
    trailers: FieldsLike | None = None,
    interim: Iterable[tuple[int, FieldsLike]] = (),
    delay: float = 0.0,
    until: threading.Event | None = None,
) -> Handler:
    """See ``Upstream.reply``."""
    content = body.encode() if isinstance(body, str) else body
    pieces = content if isinstance(content, bytes) else list(content)
    before = list(interim)

    def answer(served: Served, request: Received) -> None:
        for number, fields in before:
            served.send(write_head(status_line(number), pairs(fields)))
        if until is not None:
            served.wait(until)
        served.pause(delay)
        if isinstance(pieces, bytes) and trailers is None:
            framing, wire = [("Content-Length", str(len(pieces)))], [pieces]
        else:
            framing, wire = (
                [("Transfer-Encoding", "chunked")],
                list(chunked(pieces, trailers or ())),
            )
        if status in _BODYLESS:
            framing = []
        if status in _BODYLESS or request.method == "HEAD":
            wire = []
        served.send(write_head(status_line(status), [*framing, *pairs(headers)]) + b"".join(wire))

    return answer


def stream(
    chunks: Iterable[bytes] | Callable[[], Iterable[bytes]],
    *,
    headers: FieldsLike = (),
    pause: float = 0.0,
) -> Handler:
    """See ``Upstream.stream``."""

    def answer(served: Served, request: Received) -> None:
        fields = [("Transfer-Encoding", "chunked"), *pairs(headers)]
        served.send(write_head(status_line(200), fields))
        for piece in chunks() if callable(chunks) else chunks:
            if served.stopping.is_set():
                return
            served.send(chunk(piece))
            served.pause(pause)
        served.send(last_chunk())

    return answer


def raw(
    *parts: bytes, then: Literal["close", "reset", "keep"] = "close", pause: float = 0.0
) -> Handler:
    """See ``Upstream.raw``."""

    def answer(served: Served, request: Received) -> None:
        for place, part in enumerate(parts):
            if place:
                served.pause(pause)
            served.send(part)
        if then == "reset":
            # A reset discards data that was sent and not read: let the other side read it first.
            served.pause(pause or 0.05)
            served.reset()
        elif then == "close":
            served.close()

    return answer


def echo_websocket(served: Served, request: Received) -> None:
    """See ``Upstream.websocket``."""
    key = request.header("sec-websocket-key")
    if key is None or (request.header("upgrade") or "").lower() != "websocket":
        served.respond(b"this path speaks websocket", 400)
        return
    fields = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", websocket.accept_key(key)),
    ]
    served.send(write_head(status_line(101), fields))
    websocket.echo(served)
    served.close()
