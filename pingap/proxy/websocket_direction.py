"""One direction of a WebSocket whose messages are read: the bytes of a relay, as frames.

A few bytes may decompress to a message of a megabyte (permessage-deflate), and one read may contain
many of those. So a direction passes on one message whenever data arrives, and more only while this
turn of the event loop has time (``backlog``). The rest waits for one of the next turns, and until
the receiver has room; in the meantime, nothing more is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

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
from pingap.wire.backlog import Backlog, last_time
from pingap.wire.deadlines import NEVER

if TYPE_CHECKING:
    from pingap.plugins.chains import Owner


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
        """Record whether all received data was read."""

    def on_full(self) -> None:
        """Record whether a direction accepts more data."""

    def send_now(self, data: bytes, direction: Direction) -> None:
        """Send bytes that are not a result of the data being read in this direction."""

    def end(self) -> None:
        """Called when the exchange is over."""


class Direction(Stage):
    """Messages in one direction: the only stage of its relay.

    Errors of plugins close the WebSocket; they are not failures of a body filter.

    :param backlog: of the worker.
    :param from_client: it is the direction from the client to the upstream.
    """

    __slots__ = (
        "_backlog",
        "_held_end",
        "began",
        "collected",
        "decoder",
        "encoder",
        "from_client",
        "is_behind",
        "is_crossed",
        "is_held",
        "session",
    )

    def __init__(
        self,
        session: Session,
        holder: Holder,
        owner: Owner,
        limit: int,
        deflate: Deflate | None,
        backlog: Backlog,
        *,
        from_client: bool,
    ) -> None:
        super().__init__(holder, BodyFilter(), owner)
        self.session: Session | None = session
        self._backlog = backlog
        self._held_end: Headers | None = None
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
        """Data was written in response to data from the other direction."""
        self.is_behind = False
        """Some received data has not been processed yet."""
        self.is_held = False
        """The receiver has no room for more data."""

    def feed(self, chunk: bytes) -> None:
        """Read received bytes, and pass on the result."""
        session = self.session
        if session is None or session.is_closing:
            return
        session.on_chunk(self)
        self.decoder.feed(chunk)
        if not self.is_behind:
            self._go_on(session, self._backlog.has_time)

    def on_turn(self) -> None:
        """Continue with the remaining data."""
        session = self.session
        if session is None or (self.is_held and not session.is_closing):
            return  # it is over, or ``hold`` will request another turn
        self._catch_up(session, self._backlog.has_time)

    def hurry(self) -> None:
        """Pass on the remaining data, as far as that is quick: there is no further turn."""
        if self.session is not None and self.is_behind:
            self._catch_up(self.session, last_time())

    def hold(self, held: bool) -> bool:
        """Record whether there is room; return whether the source must pause."""
        self.is_held = held
        if self.is_behind and not held:
            self._backlog.add(self)
        return held or self.is_behind

    def _catch_up(self, session: Session, has_time: Callable[[], bool]) -> None:
        self.is_behind = False
        self._go_on(session, has_time)
        if self.is_behind:
            return
        if self._held_end is not None:
            trailers, self._held_end = self._held_end, None
            self._behind.end(trailers)
            self.holder.wake()
        else:
            session.on_full()

    def _go_on(self, session: Session, has_time: Callable[[], bool]) -> None:
        self.collected = []
        try:
            self._read(session, has_time)
        finally:
            collected, self.collected = self.collected, None
        session.settle()
        if data := b"".join(collected):
            self._behind.feed(data)

    def flush(self) -> None:
        """Do nothing: only incomplete messages are kept."""

    def end(self, trailers: Headers) -> None:
        """Pass the end on; the session ends with the exchange (see ``abandon``)."""
        if self.is_behind and self.session is not None and not self.session.is_closing:
            self._held_end = trailers
        else:
            self._behind.end(trailers)

    def _read(self, session: Session, has_time: Callable[[], bool]) -> None:
        """Pass on received data, as long as there is time."""
        decoder = self.decoder
        try:
            while not session.is_closing and (event := decoder.next()) is not None:
                if isinstance(event, WebSocketMessage):
                    self.began = NEVER
                    session.pass_on(event, self)
                elif isinstance(event, Control):
                    self.write(self.encoder.control(event))
                else:
                    session.on_close(event, self)
                if decoder.has_unread and not has_time():
                    self.is_behind = True
                    break
        except WebSocketError as error:
            session.on_violation(error, self)
        if decoder.is_idle:
            self.began = NEVER
        elif self.began == NEVER and not self.is_behind:
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
