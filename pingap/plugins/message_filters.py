"""Body filters that see messages instead of chunks: Server-Sent Events, and messages of gRPC."""

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
"""(The limit of gRPC's own libraries.)"""


class SSEFilter(BodyFilter):
    """Looks at the events of a ``text/event-stream``, or rewrites them. Override ``event``.

    Each event is passed on as soon as its empty line has come. What is not changed is passed on byte
    by byte; comments and blocks without data pass unseen.

    The body must not be compressed: see to it that the upstream is not asked with ``Accept-Encoding``.

    Example::

        class Shorten(SSEFilter):
            def event(self, event: ServerSentEvent) -> ServerSentEvent:
                return replace(event, data=event.data[:100])
    """

    message_limit: int = EVENT_LIMIT
    """Bytes that an event may have; a larger one cuts the response."""

    _work = "event"
    _decoder: EventDecoder | None = (
        None  # (made late, so that no subclass has to call ``__init__``)
    )
    _is_changed = False  # the last block was not passed on as it came

    def event(self, event: ServerSentEvent) -> ServerSentEvent | Iterable[ServerSentEvent] | None:
        """Take an event; return what is sent in its place.

        :param event: one that has data. At the end of a body it may be one that was cut off, which
            clients ignore; what is sent in its place is cut off likewise.
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
        """Pass on what is left: an event without its empty line."""
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
    """Looks at the messages of a gRPC request or response, or rewrites them. Override ``message``.

    Compressed messages pass unchanged, unless ``compressed_message`` is overridden. (An upstream does
    not compress if the request has no ``grpc-accept-encoding``.)

    Example::

        class Count(GRPCMessageFilter):
            messages = 0

            def message(self, data: bytes) -> bytes:
                self.messages += 1
                return data
    """

    message_limit: int = GRPC_LIMIT
    """Bytes that a message may have."""

    from_client: ClassVar[bool] = False
    """It reads what clients send (``request_body``): a body that is not gRPC, or a message that is too
    large, is answered with 400 or 413. Otherwise it is the upstream's fault, and cuts the response."""

    _work = "message"
    _decoder: GRPCDecoder | None = None

    def message(self, data: bytes) -> bytes | None:
        """Take a message; return what is sent in its place, or None to drop it.

        :param data: as the method's encoding has it, mostly Protocol Buffers.
        """
        return data

    def compressed_message(self, data: bytes) -> bytes | None:
        """Take a message that is compressed; return what is sent in its place, compressed as well.

        :param data: compressed as ``grpc-encoding`` says.
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
        """Pass on what is left: a message that was cut off, so that its receiver knows."""
        return self._decoder.end() if self._decoder is not None else b""

    def _pass(self, message: Message) -> bytes:
        change = self.compressed_message if message.compressed else self.message
        data = change(message.data)
        if data is None:
            return b""
        if not isinstance(data, bytes):
            raise TypeError(f"a message is bytes or None, not {type(data).__name__}")
        return encode(Message(data, message.compressed))
