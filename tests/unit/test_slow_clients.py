"""Time for clients that take an answer slowly, without sockets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pingap.downstream.http1_connection import Http1Connection
from pingap.downstream.listener import ClientLimits
from pingap.protocol.events import HeadLimits
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
