"""Body filters that get messages instead of chunks: Server-Sent Events and gRPC messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from pingap.http.body_filters import BodyFilter
from pingap.http.errors import MessageError
from pingap.http.headers import Headers
from pingap.protocol.grpc_messages import (
    GRPCDecoder,
    GRPCFormatError,
    GRPCMessageTooLarge,
    Message,
    encode,
)
from pingap.protocol.server_sent_events import (
    Block,
    EventDecoder,
    EventTooLarge,
    ServerSentEvent,
)

EVENT_LIMIT: Final = 1024 * 1024
GRPC_LIMIT: Final = 4 * 1024 * 1024
"""The limit of gRPC's own libraries."""


class SSEFilter(BodyFilter):
    """Reads or rewrites the events of a ``text/event-stream``. Override ``event``.

    Each event is passed on as soon as its empty line has arrived. Unchanged events are passed on byte for
    byte; comments and blocks without data are not shown to the filter.

    The body must not be compressed: make sure that the request to the upstream has no ``Accept-Encoding``.

    Example::

        class Shorten(SSEFilter):
            def event(self, event: ServerSentEvent) -> ServerSentEvent:
                return replace(event, data=event.data[:100])
    """

    message_limit: int = EVENT_LIMIT
    """Maximum size of an event in bytes; a larger one cuts off the response."""

    _work = "event"
    _decoder: EventDecoder | None = (
        None  # created late, so that subclasses need not call ``__init__``
    )
    _is_changed = False  # the last block was not passed on as it came

    def event(self, event: ServerSentEvent) -> ServerSentEvent | Iterable[ServerSentEvent] | None:
        """Handle an event; return its replacement.

        :param event: an event with data. At the end of a body, it may be one that was cut off, which clients
            ignore; its replacement is then cut off as well.
        :returns: the same event, another one or several, or None to drop it.
        """
        return event

    def feed(self, chunk: bytes) -> bytes:
        """Pass on the events that a chunk completes.

        :raises HTTPError: an event is larger than ``message_limit``.
        """
        if self._decoder is None:
            self._decoder = EventDecoder(self.message_limit)
        try:
            blocks = self._decoder.feed(chunk)
        except EventTooLarge as error:
            raise MessageError(f"sent {error}") from None
        return b"".join(map(self._pass, blocks))

    def end(self, trailers: Headers) -> bytes:
        """Pass on the rest: an event without its empty line."""
        block = self._decoder.end() if self._decoder is not None else None
        if block is None:
            return b""
        data = self._pass(block)
        return data[:-1] if self._is_changed else data

    def _pass(self, block: Block) -> bytes:
        if block.is_rest:
            return b"" if self._is_changed else block.raw
        result = self.event(block.event) if block.event is not None else None
        self._is_changed = result is not block.event
        if not self._is_changed:
            return block.raw
        if isinstance(result, ServerSentEvent):
            return result.encode()
        return b"".join(map(_encoded, result)) if result is not None else b""


def _encoded(event: object) -> bytes:
    if not isinstance(event, ServerSentEvent):
        raise TypeError(f"events are pingap.ServerSentEvent, not {type(event).__name__}")
    return event.encode()


class GRPCMessageFilter(BodyFilter):
    """Reads or rewrites the messages of a gRPC request or response. Override ``message``.

    Compressed messages pass unchanged, unless ``compressed_message`` is overridden. An upstream does not
    compress if the request has no ``grpc-accept-encoding``.

    Example::

        class Count(GRPCMessageFilter):
            messages = 0

            def message(self, data: bytes) -> bytes:
                self.messages += 1
                return data
    """

    message_limit: int = GRPC_LIMIT
    """Maximum size of a message in bytes."""

    from_client: ClassVar[bool] = False
    """Whether it reads messages from clients (``request_body``): a body that is not gRPC, or a message that
    is too large, is answered with 400 or 413. Otherwise the fault is the upstream's, and the response is cut
    off."""

    _work = "message"
    _decoder: GRPCDecoder | None = None

    def message(self, data: bytes) -> bytes | None:
        """Handle a message; return its replacement, or None to drop it.

        :param data: in the encoding of the method, usually Protocol Buffers.
        """
        return data

    def compressed_message(self, data: bytes) -> bytes | None:
        """Handle a compressed message; return its replacement, which must be compressed as well.

        :param data: compressed according to ``grpc-encoding``.
        """
        return data

    def feed(self, chunk: bytes) -> bytes:
        """Pass on the messages that a chunk completes.

        :raises HTTPError: it is not gRPC, or a message is larger than ``message_limit``.
        """
        if self._decoder is None:
            self._decoder = GRPCDecoder(self.message_limit)
        try:
            messages = self._decoder.feed(chunk)
        except GRPCMessageTooLarge as error:
            raise MessageError(f"sent {error}", 413, from_client=self.from_client) from None
        except GRPCFormatError as error:
            raise MessageError(f"sent {error}", 400, from_client=self.from_client) from None
        return b"".join(map(self._pass, messages))

    def end(self, trailers: Headers) -> bytes:
        """Pass on the rest: a message that was cut off, so that the receiver notices."""
        return self._decoder.end() if self._decoder is not None else b""

    def _pass(self, message: Message) -> bytes:
        change = self.compressed_message if message.compressed else self.message
        data = change(message.data)
        if data is None:
            return b""
        if not isinstance(data, bytes):
            raise TypeError(f"a message is bytes or None, not {type(data).__name__}")
        return encode(Message(data, message.compressed))
