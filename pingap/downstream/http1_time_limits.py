"""The time limits of a client's HTTP/1.1 connection, and the detection of clients that have disconnected."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Final

from pingap.downstream.http1_writer import Http1Writer
from pingap.http.errors import BadRequest
from pingap.protocol import http1_write
from pingap.protocol.http1_request import RequestDecoder
from pingap.wire.deadlines import NEVER
from pingap.wire.tcp import has_ended, has_error, is_reset, send_probes, unacknowledged

if TYPE_CHECKING:
    from pingap.downstream.listener import ClientLimits, Listener
    from pingap.proxy.exchange import Exchange

LOOK_SECONDS: Final = 2.0
"""How often the socket of a client is checked while it is not read, because enough data is here."""
PROBE_SECONDS: Final = 0.5
MOST_PROBE_SECONDS: Final = 8.0
"""How often to check for a client that has ended its side while its response is incomplete: first after the
minimum, then after twice as long each time, up to the maximum."""


class Http1TimeLimits(Http1Writer):
    """A connection with one deadline, for what the connection is currently waiting for.

    :param listener: the server it belongs to, its limits and the state shared in the worker.
    """

    __slots__ = (
        "_buffered",
        "_decoder",
        "_ending",
        "_exchange",
        "_half_closed",
        "_head_begun",
        "_limits",
        "_lingering",
        "_pending",
        "_probed",
        "_reading_paused",
        "_seen_sent",
        "_writing_paused",
        "deadline",
    )

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener.writes)
        self._limits: ClientLimits = listener.limits
        self._decoder = RequestDecoder(listener.limits.head)
        self._exchange: Exchange | None = None
        self._head_begun = False  # and its time limit is running
        self._reading_paused = False
        self._writing_paused = False
        self._lingering = False
        self._half_closed = False  # the client sends nothing more
        self._ending = False  # closed by us, once all data is written
        self._probed = 0.0  # seconds between the last two checks for a half-closed client
        self._buffered = 0  # bytes that waited in the transport when the client stopped reading
        self._seen_sent = 0  # bytes of the response at the last check
        self._pending = 0  # bytes the client had not acknowledged at the last check
        self.deadline = NEVER

    @abstractmethod
    def close(self) -> None:
        """Close the connection once written data is sent."""

    @abstractmethod
    def _refuse(self, error: BadRequest) -> None:
        """Answer an unreadable request, and close the connection."""

    def on_deadline(self) -> None:
        """Called by the sweep when ``deadline`` has passed."""
        self.deadline = NEVER
        if self._lingering or self._ending or self._writing_paused:
            self._cut_unless_progress()
        elif self._tunnelling and self._exchange is not None:
            self._end_tunnel(self._exchange)
        elif self._exchange is None:
            if self._decoder.in_head:
                self._refuse(BadRequest("The request head did not arrive in time", 408))
            else:
                self.close()  # idle
        elif self._reading_paused:
            self._look_behind()
        elif self._reading_body:
            self._closing = True
            error = BadRequest("The request body did not arrive in time", 408)
            self._exchange.on_request_broken(error)
        elif self._half_closed:
            self._look_for_client()

    def _await_taking(self) -> None:
        """Set the time limit for the client to accept sent data."""
        if self._transport is not None:
            self._pending = unacknowledged(self._transport)
            self._buffered = self._transport.get_write_buffer_size()
        self.deadline = time.monotonic() + self._limits.write_timeout

    def _await_bytes(self) -> None:
        """Set the time limit for the missing bytes."""
        if self._writing_paused:
            return
        if self._tunnelling:
            self.watch_tunnel()
        elif self._reading_body:
            seconds = self._limits.read_timeout
            if self._exchange is not None and self._exchange.body_timeout is not None:
                seconds = self._exchange.body_timeout
            self.deadline = time.monotonic() + seconds
        elif self._decoder.in_head and not self._head_begun:
            self._head_begun = True
            self.deadline = time.monotonic() + self._limits.head_read_timeout

    def watch_body(self) -> None:
        if self._reading_body and self.deadline != NEVER:
            self._await_bytes()

    def _cut_unless_progress(self) -> None:
        """Give a client more time as long as it accepts any data."""
        if self._transport is None:
            return
        if 0 < unacknowledged(self._transport) < self._pending:
            self._await_taking()
        else:
            self.cut()

    def _await_client(self) -> None:
        """Set the time of the next check for a client that has ended its side."""
        if self._writing_paused:
            return
        self._probed = min(2 * self._probed or PROBE_SECONDS, MOST_PROBE_SECONDS)
        self.deadline = time.monotonic() + self._probed

    def _look_for_client(self) -> None:
        """Check whether a client that has ended its side still waits for the response.

        Data sent to a disconnected client is answered with a reset, which the socket then reports as an
        error. So one interim response is sent before the response (RFC 9110, 15.2). Later the client may
        disconnect without any sign, since its FIN was sent before. Then the kernel detects it: it sends
        keep-alive probes, which carry no data and are answered with a reset once the client's system has
        dropped the connection (Linux: after a minute, tcp_fin_timeout). HTTP/1.0 has no interim responses, so
        only the probes are used. Once the response has begun, its own bytes serve as probes; if there are
        none for a while, the connection is closed.
        """
        exchange, transport = self._exchange, self._transport
        if exchange is None or transport is None:
            return
        silent = exchange.head_sent and self.body_bytes_sent == self._seen_sent
        if (self._probed and silent) or has_error(transport):
            exchange.on_client_gone()
            self.cut()
            return
        self._seen_sent = self.body_bytes_sent
        if not self._probed:
            send_probes(transport)
            knows_interim = self._request is not None and self._request.http_version != "1.0"
            if knows_interim and not exchange.head_sent:
                self._writes.write(transport, http1_write.CONTINUE)
        self._await_client()

    def _look_behind(self) -> None:
        """Check whether the client has disconnected although nothing is read.

        Its FIN follows the data it sent. If that does not fit into our buffers, the kernel's probes detect
        it, once the client's system has dropped the connection (Linux: after minutes).
        """
        exchange, transport = self._exchange, self._transport
        if exchange is None or transport is None:
            return
        if has_error(transport) or is_reset(transport):
            exchange.on_client_gone()
            self.cut()
        elif has_ended(transport):
            self._look_for_client()
        else:
            send_probes(transport)
            self.deadline = time.monotonic() + LOOK_SECONDS

    def _watch_unread(self) -> None:
        """Check the socket from time to time: the loop does not see the end of a client that is not read."""
        if self._exchange is not None and self.deadline == NEVER:
            self.deadline = time.monotonic() + LOOK_SECONDS

    def watch_tunnel(self) -> None:
        """Limit how long a tunnel may be silent; less once one of its sides has ended."""
        exchange = self._exchange
        if self._writing_paused or exchange is None:
            return  # the time limit is then for the client to accept data
        limits = self._limits
        ended = self._half_closed or exchange.half_ended
        seconds = limits.write_timeout if ended else limits.tunnel_idle_timeout
        self.deadline = min(time.monotonic() + seconds, exchange.tunnel_deadline)

    def _end_tunnel(self, exchange: Exchange) -> None:
        """End a tunnel that was silent too long, unless its deadline has another meaning."""
        if not exchange.on_tunnel_deadline():
            exchange.on_client_gone()
            self.cut()
        elif self._exchange is exchange:
            self.watch_tunnel()
