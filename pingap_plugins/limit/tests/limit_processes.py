"""A pingap with several workers and a limit."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pingap.testing import ProxyProcess

TOML = """
[basic]
threads = {workers}
pid_file = "{folder}/pid"
grace_period = "0s"

[plugins.slow]
category = "limit"
{limit}

[upstreams.u]
addrs = ["{upstream}"]

[locations.l]
upstream = "u"
plugins = ["slow"]

[servers.s]
addr = "127.0.0.1:0"
locations = ["l"]
"""


class Running:
    """A running pingap.

    :param limit: the keys of the plugin.
    """

    def __init__(self, folder: Path, upstream: str, limit: str, workers: int) -> None:
        self._folder, self._upstream, self._workers = folder, upstream, workers
        self.proxy = ProxyProcess(self._toml(limit), folder)

    def _toml(self, limit: str) -> str:
        return TOML.format(
            folder=self._folder, upstream=self._upstream, limit=limit, workers=self._workers
        )

    def reload(self, limit: str) -> None:
        """Change the limit, and wait until all workers have it."""
        self.proxy.reload(self._toml(limit))

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self.proxy.port()

    @property
    def workers(self) -> list[int]:
        """The process ids of the workers."""
        return self.proxy.workers

    def get(self, target: str = "/", headers: dict[str, str] | None = None) -> int:
        """Return the status of a request on a connection of its own."""
        return self.proxy.get(target, headers=headers or {}).status

    def hammer(
        self, requests: int, threads: int = 8, headers: dict[str, str] | None = None
    ) -> Counter[int]:
        """Make requests from several threads, and count the statuses."""
        found: list[int] = []

        def work() -> None:
            found.extend([self.get(headers=headers) for _ in range(requests // threads)])

        started = [threading.Thread(target=work) for _ in range(threads)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        return Counter(found)


@contextmanager
def running(folder: Path, upstream: str, limit: str, workers: int = 4) -> Iterator[Running]:
    """Run pingap; its state is in ``folder``."""
    pingap = Running(folder, upstream, limit, workers)
    with pingap.proxy:
        yield pingap


def until(condition: Callable[[], object], told: Path | None = None, seconds: float = 60) -> None:
    """Return when a condition holds."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise AssertionError(told.read_text() if told else "it did not come")
        time.sleep(0.02)
