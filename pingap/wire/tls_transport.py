"""A transport that adds TLS to another transport.

The event loop has its own (``create_server(ssl=...)``). This one has the same cost (measured: 13 us for a
request and 1 KB of response, with either) and can do more: examine the first bytes before TLS begins, choose
the protocol by ALPN, end its side and continue to read, and limit handshakes without a timer for each.

Written data is encrypted at once and passed on, so that nothing waits here: back-pressure is that of the
transport below. The context determines the certificates.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, cast

from pingap.wire.backlog import FULL_READ, PIECE, Backlog

_RECORD: Final = 16 * 1024
"""Maximum number of data bytes in one TLS record (RFC 8446, 5.1)."""
_LONGEST: Final = 5 + _RECORD + 2048
"""Maximum size of a record as it is sent (RFC 5246, 6.2.3; TLS 1.3 allows less)."""
MOST_IDLE_RECORDS: Final = 64
"""Number of records without application data (new keys or tickets, only padding) that a peer may send after
the handshake; each record with data allows another one."""
_FLUSH: Final = 16 * _RECORD
"""Amount of data that is encrypted at a time, so that a large body is not held twice."""


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """One connection: the protocol of a plain transport, and the transport of another protocol.

    :param context: certificates, versions, ciphers.
    :param backlog: of the worker.
    :param server_name: for clients: the expected name; None for servers.
    :param session: for clients: a session to resume.
    """

    __slots__ = (
        "_app",
        "_backlog",
        "_closing",
        "_error",
        "_idle_records",
        "_incoming",
        "_outgoing",
        "_paused",
        "_peer_ended",
        "_raw",
        "_tls",
        "_unread",
        "_waits_for_turn",
        "_we_ended",
    )

    def __init__(
        self,
        context: ssl.SSLContext,
        backlog: Backlog,
        server_name: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_name is None,
            server_hostname=server_name,
            session=session,
        )
        self._backlog = backlog
        self._unread = (
            b""  # data not passed to TLS yet: during the handshake, and an incomplete record
        )
        self._idle_records = 0
        self._paused = False  # the protocol above accepts no data
        self._waits_for_turn = False  # work is left over to the next turn of the loop
        self._raw: asyncio.Transport | None = None
        self._app: asyncio.Protocol | None = None
        self._error: Exception | None = None
        self._closing = False
        self._peer_ended = False  # by close_notify or the end of its TCP side
        self._we_ended = False  # close_notify has been sent: nothing more can be written

    # Implemented by subclasses.

    def established(self) -> asyncio.Protocol | None:
        """Return the protocol that takes over after the handshake; None closes the connection."""
        raise NotImplementedError

    def refused(self, error: Exception) -> None:
        """Handle a failed handshake; the connection ends."""

    # Callbacks of the transport below.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._app is None:
            if not self._closing:
                self._handshake(data)
        elif not self._unread and len(data) == 5 + int.from_bytes(data[3:5]):
            if (text := self._decrypt(data)) and self._app is not None:
                self._app.data_received(text)
            elif self._peer_ended:
                self._tell_end()
        else:
            self._receive_records(data)

    def eof_received(self) -> bool:
        """Pass on that the peer ended its side of TCP, unless it has sent close_notify before."""
        if self._app is None:
            self._fail(
                ConnectionResetError("the peer closed the connection during the TLS handshake")
            )
            return False
        if self._peer_ended:
            return not self._closing
        return self._end_of_peer()

    def connection_lost(self, exc: Exception | None) -> None:
        app, self._app = self._app, None
        self._closing = True
        self._raw = None
        if app is not None:
            app.connection_lost(self._error or exc)

    def pause_writing(self) -> None:
        if self._app is not None:
            self._app.pause_writing()

    def resume_writing(self) -> None:
        if self._app is not None:
            self._app.resume_writing()

    # TLS.

    def _handshake(self, data: bytes = b"") -> None:
        """Continue the handshake, a piece at a time, as this turn of the loop has time."""
        self._unread += data
        if not self._waits_for_turn:
            if self._backlog.has_time():
                self._shake_hands()
            else:
                self._leave_over()

    def _shake_hands(self) -> None:
        data, self._unread = self._unread[:PIECE], self._unread[PIECE:]
        try:
            self._incoming.write(data)
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            if self._unread:
                self._leave_over()
            return
        except (ssl.SSLError, ssl.CertificateError) as error:
            self._flush()  # the alert for the peer
            self._fail(error)
            return
        self._flush()
        app = self.established()
        if app is None or self._raw is None:
            self.close()
            return
        self._unread = self._incoming.read() + self._unread  # begins with a record
        self._app = app
        app.connection_made(self)
        self._receive_records(b"")

    def _leave_over(self) -> None:
        """Continue in the next turn, and read nothing until then."""
        self._waits_for_turn = True
        if self._raw is not None:
            self._raw.pause_reading()
        self._backlog.add(self)

    def on_turn(self) -> None:
        """Called when it is this connection's turn to continue with the rest."""
        self._waits_for_turn = False
        if self._raw is None or self._closing:
            return
        if self._app is None:
            self._shake_hands()
        elif not self._paused:
            self._receive_records(b"")
        self._settle_reading()

    def _settle_reading(self) -> None:
        if self._raw is not None and not (self._paused or self._waits_for_turn or self._closing):
            self._raw.resume_reading()

    def _receive_records(self, data: bytes) -> None:
        """Decrypt the complete records, and pass them on as one chunk."""
        unread, at = self._unread + data, 0
        texts: list[bytes] = []
        size = _record_size(unread, 0)
        while size and self._error is None and not self._peer_ended:
            if text := self._decrypt(unread[at : at + size]):
                texts.append(text)
            at += size
            size = _record_size(unread, at)
            if size and not self._backlog.has_time() and self._raw is not None:
                break
        self._unread = unread[at:]
        if size or len(data) >= FULL_READ:
            self._leave_over()
        if texts and self._app is not None:
            self._app.data_received(b"".join(texts))
        if self._peer_ended and self._app is not None and not self._closing:
            self._tell_end()

    def _decrypt(self, record: bytes) -> bytes:
        """Return the application data of one complete record."""
        try:
            self._incoming.write(record)
            text = self._tls.read(len(record))
        except ssl.SSLWantReadError:
            text = self._count_idle_record()
        except ssl.SSLError as error:
            self._fail(error)
            return b""
        else:
            if not text:
                self._peer_ended = True
            elif self._idle_records:
                self._idle_records -= 1
        if self._outgoing.pending:
            self._flush()  # TLS answers some messages on its own
        return text

    def _count_idle_record(self) -> bytes:
        self._idle_records += 1
        if self._idle_records > MOST_IDLE_RECORDS:
            self._fail(ConnectionResetError("too many TLS records without data"))
        return b""

    def _end_of_peer(self) -> bool:
        """Handle the end of the peer's TCP side without close_notify; True keeps our side open."""
        self._peer_ended = True
        self._tell_end()
        return not self._closing

    def _tell_end(self) -> None:
        if self._app is not None and not self._app.eof_received():
            self.close()

    def _flush(self) -> None:
        if self._outgoing.pending and self._raw is not None:
            self._raw.write(self._outgoing.read())

    def _fail(self, error: Exception) -> None:
        """Close a connection on which TLS cannot continue."""
        if self._raw is None or self._closing:
            return
        self._error = error
        self._closing = True
        if self._app is None:
            self.refused(error)
            self._raw.close()  # after the alert has been sent
        else:
            self._flush()
            self._raw.abort()

    # Called by the protocol above.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._we_ended or self._raw is None or not data:
            return
        outgoing = self._outgoing
        try:
            written = self._tls.write(data)
            if written < len(data):
                view = memoryview(data)
                while written < len(data):
                    written += self._tls.write(view[written:])
                    if outgoing.pending > _FLUSH:
                        self._raw.write(outgoing.read())
        except ssl.SSLError as error:
            self._fail(error)
            return
        self._raw.write(outgoing.read())

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """End our side; data that the peer still sends is delivered."""
        self._send_close_notify()
        if self._raw is not None:
            self._raw.write_eof()

    def _send_close_notify(self) -> None:
        if self._we_ended or self._raw is None or self._app is None:
            return
        self._we_ended = True
        with suppress(ssl.SSLError):  # usually: the peer has not ended its side yet
            self._tls.unwrap()
        self._flush()

    def close(self) -> None:
        """Close the connection once written data is sent, without waiting for the peer's close_notify."""
        if self._raw is None or self._closing:
            return
        self._closing = True
        self._send_close_notify()
        self._raw.close()

    def abort(self) -> None:
        self._closing = True
        if self._raw is not None:
            self._raw.abort()

    def is_closing(self) -> bool:
        return self._closing or self._raw is None or self._raw.is_closing()

    def pause_reading(self) -> None:
        self._paused = True
        if self._raw is not None:
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        if _record_size(self._unread, 0):
            self._leave_over()
        self._settle_reading()

    def is_reading(self) -> bool:
        return self._raw is not None and not self._paused

    def get_write_buffer_size(self) -> int:
        return 0 if self._raw is None else self._raw.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._raw is not None:
            self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return (0, 0) if self._raw is None else self._raw.get_write_buffer_limits()

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self if self._app is None else self._app

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._app = cast("asyncio.Protocol", protocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._tls
        return default if self._raw is None else self._raw.get_extra_info(name, default)


def _record_size(data: bytes, at: int) -> int:
    """Return the size of the record that begins at an offset; 0 if it is incomplete."""
    size = 5 + int.from_bytes(data[at + 3 : at + 5])
    rest = len(data) - at
    if size > _LONGEST:
        return rest  # not a record: TLS will report it
    return size if rest >= 5 and size <= rest else 0
