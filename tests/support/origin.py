"""An origin whose every connection is served by a script of the test."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

Script = Callable[["Served"], None]


@dataclass
class Received:
    """A request as the origin received it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    raw_head: bytes
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        """Return the first value of a header."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def header_all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


class Served:
    """One connection that the origin accepted."""

    def __init__(self, sock: socket.socket, origin: Origin) -> None:
        self.sock = sock
        self.origin = origin
        self.unread = b""

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.sock.sendall(data)

    def receive(self) -> bytes:
        """Return what comes next, ``b""`` at the end of the connection."""
        try:
            return self.sock.recv(65536)
        except OSError:
            return b""

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def read_until(self, mark: bytes) -> bytes:
        """Return everything up to and including a mark; ``b""`` if the connection ends."""
        while mark not in self.unread:
            if not (data := self.receive()):
                return b""
            self.unread += data
        end = self.unread.index(mark) + len(mark)
        found, self.unread = self.unread[:end], self.unread[end:]
        return found

    def read_head(self) -> Received | None:
        """Read the head of a request and note it; None if the connection ends."""
        if not (head := self.read_until(b"\r\n\r\n")):
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = [line.partition(":")[::2] for line in lines if line]
        headers = [(name, value.strip()) for name, value in pairs]
        request = Received(method, target, headers, head)
        self.origin.requests.append(request)
        return request

    def read_request(self) -> Received | None:
        """Read a request with its body; None if the connection ends."""
        if (request := self.read_head()) is None:
            return None
        if length := int(request.header("content-length") or 0):
            while len(self.unread) < length and (data := self.receive()):
                self.unread += data
            request.body, self.unread = self.unread[:length], self.unread[length:]
        if request.header("transfer-encoding") == "chunked":
            self._read_chunked(request)
        return request

    def _read_chunked(self, request: Received) -> None:
        while size := int(self.read_until(b"\r\n") or b"0", 16):
            while len(self.unread) < size + 2 and (data := self.receive()):
                self.unread += data
            request.body += self.unread[:size]
            self.unread = self.unread[size + 2 :]
        while (line := self.read_until(b"\r\n")) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            request.trailers.append((name, value.strip()))

    def respond(self, body: bytes = b"ok", status: str = "200 OK", **headers: str) -> None:
        """Send a response of known length (``_`` in header names stands for ``-``)."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode() + body)


def echo(served: Served) -> None:
    """Answer every request with its own body, or ``ok``."""
    while (request := served.read_request()) is not None:
        served.respond(request.body or b"ok")


class Origin:
    """Listens on a free port; a thread for each connection runs the script.

    :param script: what to do with a connection; it is closed afterwards. May be replaced.
    """

    def __init__(self, script: Script = echo, *, path: str | None = None) -> None:
        self.script = script
        self.requests: list[Received] = []
        self.errors: list[Exception] = []
        self.connections = 0
        if path is None:
            self.sock = socket.create_server(("127.0.0.1", 0), backlog=512)
            self.port: int = self.sock.getsockname()[1]
            self.addr = f"127.0.0.1:{self.port}"
        else:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.bind(path)
            self.sock.listen(512)
            self.addr = f"unix:{path}"
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            self.connections += 1
            sock.settimeout(30)
            self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            self.script(Served(sock, self))
        except OSError:
            pass  # the proxy went away, which many a test wants
        except Exception as error:
            self.errors.append(error)
        finally:
            self._open.discard(sock)
            sock.close()

    def close(self) -> None:
        """Stop listening and close every connection."""
        with contextlib.suppress(OSError):  # closed by the test already
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        for sock in list(self._open):
            sock.close()
        self._thread.join(5)

    def __enter__(self) -> Origin:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
