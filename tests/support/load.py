"""Clients that work all the time and count what went wrong."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType

from pingap.testing import Client

Connect = Callable[[], Client]
PAUSE = 0.01
"""Seconds between two rounds. Without it, the clients would take the CPU time from what happens meanwhile."""

Work = Callable[[Client], bool]
"""One round of requests on a connection; tells whether the connection can be used again."""


class Load:
    """Does several kinds of work at once, each in a thread, until the block ends.

    :param connect: makes a new connection.
    :param works: kinds of work by name.
    """

    def __init__(self, connect: Connect, **works: Work) -> None:
        self.done: Counter[str] = Counter()
        """Rounds that went well, by name."""
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._connect = connect
        self._threads = [
            threading.Thread(target=self._run, args=(name, work), name=name, daemon=True)
            for name, work in works.items()
        ]

    def _run(self, name: str, work: Work) -> None:
        client: Client | None = None
        while not self._stop.is_set():
            try:
                if client is None:
                    client = self._connect()
                usable = work(client)
            except (OSError, AssertionError, ValueError) as error:
                self.failures.append(f"{name}: {type(error).__name__}: {error}")
                usable = False
            else:
                self.done[name] += 1
            if not usable and client is not None:
                client.close()
                client = None
            self._stop.wait(PAUSE)
        if client is not None:
            client.close()

    def wait_for_rounds(self, more: int = 1, seconds: float = 30.0) -> None:
        """Return when each kind of work was done so many times more."""
        wanted = {thread: self.done[thread] + more for thread in self._names}
        end = time.monotonic() + seconds
        while any(self.done[name] < count for name, count in wanted.items()):
            assert time.monotonic() < end, f"{self.done} of {wanted}: {self.failures[:5]}"
            time.sleep(0.01)

    @property
    def _names(self) -> list[str]:
        return [thread.name for thread in self._threads]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        try:
            self.wait_for_rounds()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        still = [thread.name for thread in self._threads if thread.is_alive()]
        assert not still, f"still at work: {still}"


def get(client: Client) -> bool:
    """Ask for something small."""
    answer = client.get("/")
    assert answer.status == 200, answer.status
    return answer.header("connection") != "close"


def pipeline(client: Client) -> bool:
    """Send three requests before the first answer; those behind the last answer were not begun."""
    client.send(b"GET /piped HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
    for _ in range(3):
        answer = client.answer()
        assert answer.status == 200, answer.status
        if answer.header("connection") == "close":
            return False
    return True


def upload(client: Client) -> bool:
    """Send a body in pieces, and have it sent back."""
    piece = b"u" * 4096
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16384\r\n\r\n")
    for _ in range(4):
        client.send(piece)
    answer = client.answer()
    assert (answer.status, answer.body) == (200, piece * 4), answer.status
    return answer.header("connection") != "close"


def download(client: Client) -> bool:
    """Take a body that does not come in one piece."""
    answer = client.get("/large")
    assert (answer.status, len(answer.body)) == (200, 400_000), (answer.status, len(answer.body))
    return answer.header("connection") != "close"
