"""Time for clients that take an answer slowly, without sockets."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace
from typing import Any

import pytest

from pingap.downstream.http1_connection import Http1Connection
from pingap.downstream.listener import ClientLimits
from pingap.http.errors import UpstreamError
from pingap.protocol.events import HeadLimits
from pingap.protocol.http2_errors import CANCEL
from pingap.protocol.http2_events import StreamReset
from pingap.upstream.connections.http2_stream import Http2UpstreamStream
from pingap.wire.write_batch import WriteBatch


class Transport:
    """Holds as many bytes as a test says."""

    size = 0
    aborted = False

    def get_write_buffer_size(self) -> int:
        return self.size

    def get_extra_info(self, name: str) -> None:
        return None

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        self.aborted = True


def test_the_second_slow_answer_on_a_connection_has_its_own_time() -> None:
    listener: Any = SimpleNamespace(limits=ClientLimits(HeadLimits()), writes=WriteBatch())
    connection, transport = Http1Connection(listener), Transport()
    connection._transport = transport  # type: ignore[assignment]
    connection._exchange = exchange = SimpleNamespace(on_client_full=lambda full: None)  # type: ignore[assignment]
    assert exchange is not None
    for size in (100_000, 900_000):
        transport.size = size
        connection.pause_writing()
        for _ in range(3):
            transport.size -= 30_000
            connection.on_deadline()
            assert not transport.aborted
        connection.resume_writing()
    connection.pause_writing()
    connection.on_deadline()
    assert transport.aborted


@pytest.mark.parametrize(
    ("seconds", "sent", "blameless"), [(10, False, True), (1, False, False), (10, True, False)]
)
def test_an_upstream_is_not_blamed_if_it_gives_up_a_slow_request(
    seconds: float, sent: bool, blameless: bool
) -> None:
    nothing: Any = lambda *_: None  # noqa: E731
    codec = SimpleNamespace(reset=nothing, taken=nothing)
    connection: Any = SimpleNamespace(codec=codec, name="u", stream_ended=nothing, timeouts=None)
    stream, lost = Http2UpstreamStream(connection), list[UpstreamError]()
    exchange: Any = SimpleNamespace(on_upstream_lost=lost.append)
    stream._exchange = exchange
    stream._request_done = sent
    stream.asked_at = time.monotonic() - seconds
    stream.on_reset(StreamReset(1, CANCEL))
    assert [error.blameless for error in lost] == [blameless]


def test_an_upstream_of_http2_has_no_limit_while_its_answer_is_not_taken() -> None:
    nothing: Any = lambda *_: None  # noqa: E731
    connection: Any = SimpleNamespace(
        codec=SimpleNamespace(taken=nothing),
        timeouts=SimpleNamespace(read=1.0),
        hasten=nothing,
        flush=nothing,
    )
    stream = Http2UpstreamStream(connection)
    exchange: Any = SimpleNamespace(on_upstream_waiting=lambda: None)
    stream._exchange = exchange
    stream._reading = stream._request_done = True
    stream.pause_body()
    stream.on_waiting()
    assert stream.deadline == math.inf
    stream.resume_body()
    assert stream.deadline <= time.monotonic() + 1
