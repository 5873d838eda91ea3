"""Ways of cutting wire text, and what decoders make of it, as plain tuples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from pingap.http.errors import BadRequest, UpstreamError
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.protocol.events import EndOfMessage, HeadLimits
from pingap.protocol.http1_request import RequestDecoder
from pingap.protocol.http1_response import ResponseDecoder

SIZES = (1, 2, 7, 4096)

Event = tuple[Any, ...]


def cut(data: bytes, size: int) -> list[bytes]:
    """Return the data in pieces of one size."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def every_cut(data: bytes) -> Iterator[list[bytes]]:
    """Yield the data whole, cut once at every byte, and in pieces of several sizes."""
    yield [data]
    for place in range(1, len(data)):
        yield [data[:place], data[place:]]
    for size in SIZES:
        yield cut(data, size)


def at(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Return the data cut at some places."""
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


def merge(events: Iterable[Event]) -> list[Event]:
    """Return the events with adjacent body chunks joined."""
    merged: list[Event] = []
    for event in events:
        if event[0] == "body" and merged and merged[-1][0] == "body":
            merged[-1] = ("body", merged[-1][1] + event[1])
        else:
            merged.append(event)
    return merged


def _end(event: EndOfMessage) -> Event:
    return ("end", event.trailers.items() if event.trailers is not None else [])


def _request_event(event: Request | bytes | EndOfMessage) -> Event:
    if isinstance(event, bytes):
        assert event, "an empty chunk is no event"
        return ("body", event)
    if isinstance(event, EndOfMessage):
        return _end(event)
    return (
        "request",
        event.method,
        event.target,
        event.http_version,
        event.host,
        event.headers.items(),
        event.chunked,
        event.content_length,
        event.keep_alive,
    )


def read_requests(parts: Iterable[bytes], limits: HeadLimits | None = None) -> list[Event]:
    """Return what a connection's bytes mean; ``("bad", status)`` ends it."""
    decoder = RequestDecoder(limits or HeadLimits())
    events: list[Event] = []
    between = True  # messages, as far as the bytes were looked at
    try:
        for part in parts:
            # As ``Http1Connection`` does.
            if between and not decoder.unread and (plain := decoder.read_plain(part)) is not None:
                events.append(_request_event(plain))
                continue
            decoder.feed(part)
            while (event := decoder.next()) is not None:
                events.append(_request_event(event))
                if not isinstance(event, bytes):
                    between = isinstance(event, EndOfMessage) or not event.has_body
    except BadRequest as error:
        events.append(("bad", error.status))
    return merge(events)


def heads(events: list[Event]) -> list[Event]:
    """Return what must not depend on cuts even if the end is bad: all but unfinished bodies.

    Body bytes that came in the same read as the mistake after them may be lost with it. Which of
    several mistakes is seen first may depend on cuts as well.
    """
    if not events or events[-1][0] != "bad":
        return events
    kept = events[:-2] if len(events) > 1 and events[-2][0] == "body" else events[:-1]
    return [*kept, ("bad",)]


def read_response(
    parts: Iterable[bytes], method: str = "GET", *, eof: bool = False
) -> tuple[list[Event], bool]:
    """Return what an upstream's bytes mean, and whether the connection may serve again.

    ``("bad",)`` ends a broken answer. Bytes after the answer only make the connection unusable,
    as they do in ``UpstreamConnection``, which listens to no more then.
    """
    decoder = ResponseDecoder()
    decoder.expect(method)
    events: list[Event] = []
    try:
        for part in parts:
            if events and events[-1][0] == "end":
                return merge(events), False
            events += _response_events(decoder.feed(part))
            while decoder.left:
                events += _response_events(decoder.feed(b""))
        if eof:
            events += _response_events(decoder.eof())
    except UpstreamError:
        events.append(("bad",))
        return merge(events), False
    return merge(events), bool(decoder.reusable) and not eof


def _response_events(events: Iterable[Response | bytes | EndOfMessage]) -> list[Event]:
    """Return the events as tuples; the body of a response that came whole stands apart."""
    found: list[Event] = []
    for event in events:
        found.append(_response_event(event))
        if isinstance(event, Response) and event.body:
            found.append(("body", event.body))
    return found


def _response_event(event: Response | bytes | EndOfMessage) -> Event:
    if isinstance(event, bytes):
        assert event, "an empty chunk is no event"
        return ("body", event)
    if isinstance(event, EndOfMessage):
        return _end(event)
    return ("response", event.status, event.reason, event.headers.items(), event.content_length)
