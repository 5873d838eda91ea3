"""One TCP or Unix connection, controlled by a test, and HTTP/1.1 bodies on it."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from typing import Final

from pingap.testing.closing import Closing
from pingap.testing.fields import Fields, FieldsLike, pairs

LIMIT: Final = 10.0
"""Seconds that a read waits at most."""


class ByteStream(Closing):
    """Sends and reads bytes unchanged.

    :param sock: a connected socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.unread = b""
        """Received data that was not requested yet."""

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.sock.sendall(data)

    def receive(self) -> bytes:
        """Return the next data, ``b""`` at the end of the connection.

        :raises TimeoutError: no data arrived.
        """
        if self.unread:
            data, self.unread = self.unread, b""
            return data
        return self._more()

    def _more(self) -> bytes:
        try:
            return self.sock.recv(65536)
        except ConnectionError:
            return b""

    def _fill(self) -> bool:
        data = self._more()
        self.unread += data
        return bool(data)

    def _take(self, size: int) -> bytes:
        data, self.unread = self.unread[:size], self.unread[size:]
        return data

    def read_until(self, mark: bytes) -> bytes:
        """Return everything up to and including a mark; less if the connection ends."""
        while mark not in self.unread:
            if not self._fill():
                return self._take(len(self.unread))
        return self._take(self.unread.index(mark) + len(mark))

    def read_exactly(self, size: int) -> bytes:
        """Return this many bytes; fewer if the connection ends."""
        while len(self.unread) < size and self._fill():
            pass
        return self._take(size)

    def read_to_end(self) -> bytes:
        """Return everything until the end of the connection."""
        while self._fill():
            pass
        return self._take(len(self.unread))

    def is_closed(self) -> bool:
        """Wait for the end of the connection; False if data arrives first."""
        return not self.unread and not self._fill()

    def half_close(self) -> None:
        """End this side; data from the other side can still be read."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Reset the TCP connection: data that was sent and not yet read is lost."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    @property
    def closed(self) -> bool:
        """Whether this side has closed the connection."""
        return self.sock.fileno() < 0

    def close(self) -> None:
        """Close the connection."""
        self.sock.close()


class BodyReader:
    """Reads the body that follows a head.

    :param to_end: whether a body without framing extends to the end of the connection (responses).
    """

    def __init__(self, stream: ByteStream, headers: Fields, *, to_end: bool = False) -> None:
        self._stream = stream
        self._chunks = self._read(headers, to_end)
        self.complete = False
        """Whether the whole body has arrived."""
        self.trailers: Fields | None = None
        """The fields after a chunked body."""

    def next(self) -> bytes:
        """Return the next bytes as they arrive, a whole chunk if chunked; ``b""`` at the end."""
        return next(self._chunks, b"")

    def rest(self) -> bytes:
        """Return the rest of the body."""
        return b"".join(self._chunks)

    def _read(self, headers: Fields, to_end: bool) -> Iterator[bytes]:
        if (headers.get("transfer-encoding") or "").lower().endswith("chunked"):
            yield from self._chunked()
        elif (length := headers.get("content-length")) is not None:
            yield from self._sized(int(length))
        else:
            while to_end and (data := self._stream.receive()):
                yield data
            self.complete = True

    def _sized(self, left: int) -> Iterator[bytes]:
        while left:
            data = self._stream.receive()
            if not data:
                return
            data, self._stream.unread = data[:left], data[left:]
            left -= len(data)
            yield data
        self.complete = True

    def _chunked(self) -> Iterator[bytes]:
        while True:
            line = self._stream.read_until(b"\r\n")
            if not line.endswith(b"\r\n"):
                return
            if (size := int(line.partition(b";")[0], 16)) == 0:
                break
            data = self._stream.read_exactly(size + 2)
            yield data[:size]
            if len(data) < size + 2:
                return
        trailers = Fields()
        while (line := self._stream.read_until(b"\r\n")) != b"\r\n":
            if not line.endswith(b"\r\n"):
                return
            name, _, value = line.decode("latin-1").partition(":")
            trailers.append((name, value.strip()))
        self.trailers = trailers
        self.complete = True


def chunk(data: bytes) -> bytes:
    """Return data as a chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: FieldsLike = ()) -> bytes:
    """Return the end of a chunked body."""
    lines = [f"{name}: {value}\r\n" for name, value in pairs(trailers)]
    return b"0\r\n" + "".join(lines).encode("latin-1") + b"\r\n"


def chunked(data: bytes | Iterable[bytes], trailers: FieldsLike = ()) -> Iterator[bytes]:
    """Yield the pieces of a chunked body."""
    for piece in [data] if isinstance(data, bytes) else data:
        if piece:
            yield chunk(piece)
    yield last_chunk(trailers)
