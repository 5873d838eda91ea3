"""A Docker daemon: what one answers, recorded, served on a Unix socket."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

RECORDED = Path(__file__).parent / "recorded"


def recorded() -> list[dict[str, Any]]:
    """Return the containers, whatever their state."""
    found: list[dict[str, Any]] = json.loads((RECORDED / "containers.json").read_text())
    return found


class Daemon:
    """Serves ``/containers/json`` and ``/events``.

    :param path: of the socket.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.containers = recorded()
        """Those that there are; replace it at any time."""
        self.answer: bytes | None = None
        """In place of the list of containers."""
        self.status = 200
        self.lists = 0
        """How many times it was asked for containers."""
        self.watched: list[dict[str, list[str]]] = []
        """The filters of each request for events."""
        self._events: list[socket.socket] = []
        self._changed = threading.Condition()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def wait_for_watchers(self, count: int) -> None:
        """Return once events were asked for so many times."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.watched) >= count, 15)

    def emit(self, action: str = "start") -> None:
        """Tell of an event of a container: ``die``, ``health_status: unhealthy``."""
        event = (
            (RECORDED / "event.json").read_bytes().replace(b'"start"', b'"%b"' % action.encode())
        )
        for sock in self._events:
            sock.sendall(b"%x\r\n%b\r\n" % (len(event), event))

    def end_events(self) -> None:
        """End all streams of events, as a daemon does that restarts."""
        while self._events:
            self._events.pop().shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.end_events()
        for thread in self._threads:
            thread.join(10)
        self.path.unlink()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(30)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as file:
            try:
                while line := file.readline():
                    while file.readline() not in (b"\r\n", b""):
                        pass
                    self._respond(sock, line.split()[1].decode())
            except OSError:
                return  # the client or the test has ended it
            finally:
                if sock in self._events:
                    self._events.remove(sock)

    def _respond(self, sock: socket.socket, target: str) -> None:
        url = urlsplit(target)
        filters = json.loads(parse_qs(url.query)["filters"][0])
        if url.path == "/events":
            sock.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            with self._changed:
                self._events.append(sock)
                self.watched.append(filters)
                self._changed.notify_all()
            return
        assert url.path == "/containers/json"
        self.lists += 1
        found = [one for one in self.containers if _fits(one, filters)]
        body = json.dumps(found).encode() if self.answer is None else self.answer
        head = f"HTTP/1.1 {self.status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        sock.sendall(head.encode() + body)


def _fits(container: dict[str, Any], filters: dict[str, list[str]]) -> bool:
    if container["State"] not in filters["status"]:
        return False
    for label in filters.get("label", ()):
        key, equals, value = label.partition("=")
        if key not in container["Labels"] or (equals and container["Labels"][key] != value):
            return False
    return True
