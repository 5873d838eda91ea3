"""One direction of a WebSocket whose messages are read: converts the bytes of a relay to frames and back."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final, Protocol

from pingap.http.body_filters import BodyFilter
from pingap.http.headers import Headers
from pingap.http.outcome import RequestOutcome
from pingap.protocol.websocket_deflate import Deflate
from pingap.protocol.websocket_frames import (
    Close,
    Control,
    MessageDecoder,
    MessageEncoder,
    WebSocketError,
    WebSocketMessage,
)
from pingap.proxy.filter_stages import Holder, Stage

if TYPE_CHECKING:
    from pingap.plugins.chains import Owner

NEVER: Final = math.inf


class Session(Protocol):
    """Handles the events of both directions."""

    @property
    def is_closing(self) -> bool:
        """Whether both sides were closed, and further data is dropped."""

    def on_chunk(self, direction: Direction) -> None:
        """Called when bytes have arrived."""

    def pass_on(self, message: WebSocketMessage, direction: Direction) -> None:
        """Take a message."""

    def on_close(self, close: Close, direction: Direction) -> None:
        """Handle a close frame."""

    def on_violation(self, error: WebSocketError, direction: Direction) -> None:
        """Called when nothing more can be read."""

    def settle(self) -> None:
        """Called when all received data has been read."""

    def send_now(self, data: bytes, direction: Direction) -> None:
        """Send bytes that are not a result of the data being read in this direction."""

    def end(self) -> None:
        """Called when the exchange is over."""


class Direction(Stage):
    """Messages in one direction: the only stage of its relay.

    Errors of plugins close the WebSocket; they are not failures of a body filter.

    :param from_client: whether it is the direction from the client to the upstream.
    """

    __slots__ = (
        "began",
        "collected",
        "decoder",
        "encoder",
        "from_client",
        "is_crossed",
        "session",
    )

    def __init__(
        self,
        session: Session,
        holder: Holder,
        owner: Owner,
        limit: int,
        deflate: Deflate | None,
        *,
        from_client: bool,
    ) -> None:
        super().__init__(holder, BodyFilter(), owner)
        self.session: Session | None = session
        self.from_client = from_client
        # Frames of clients are masked on both legs; those of servers are not.
        inflater = deflate.inflater(client=from_client) if deflate is not None else None
        deflater = deflate.deflater(client=from_client) if deflate is not None else None
        self.decoder = MessageDecoder(masked=from_client, limit=limit, inflater=inflater)
        self.encoder = MessageEncoder(masked=from_client, deflater=deflater)
        self.began = NEVER
        """When the incomplete message began."""
        self.collected: list[bytes] | None = None
        """Whether written data is collected, to be sent in one piece."""
        self.is_crossed = False
        """Whether data was written because of the other direction."""

    def feed(self, chunk: bytes) -> None:
        """Read received bytes, and pass on the result."""
        session = self.session
        if session is None or session.is_closing:
            return
        session.on_chunk(self)
        self.collected = []
        try:
            self._read(session, chunk)
        finally:
            collected, self.collected = self.collected, None
        session.settle()
        if data := b"".join(collected):
            self._behind.feed(data)

    def flush(self) -> None:
        """Do nothing: only incomplete messages are kept."""

    def end(self, trailers: Headers) -> None:
        """Pass the end on; the session ends with the exchange (see ``abandon``)."""
        self._behind.end(trailers)

    def _read(self, session: Session, chunk: bytes) -> None:
        decoder = self.decoder
        decoder.feed(chunk)
        try:
            while not session.is_closing and (event := decoder.next()) is not None:
                if isinstance(event, WebSocketMessage):
                    self.began = NEVER
                    session.pass_on(event, self)
                elif isinstance(event, Control):
                    self.write(self.encoder.control(event))
                else:
                    session.on_close(event, self)
        except WebSocketError as error:
            session.on_violation(error, self)
        if decoder.is_idle:
            self.began = NEVER
        elif self.began == NEVER:
            self.began = time.monotonic()

    def write(self, data: bytes) -> None:
        """Send bytes on in this direction, in order."""
        if self.collected is not None:
            self.collected.append(data)
        elif self.session is not None and data:
            self.session.send_now(data, self)

    def abandon(self, outcome: RequestOutcome) -> None:
        """End the session: the exchange is over."""
        if self.session is not None:
            self.session.end()
