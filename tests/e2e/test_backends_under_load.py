"""Backends that die, come back and freeze under constant load: no idempotent request sees an error."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.origin_process import OriginProcess
from support.process import Process
from support.rig import configure
from support.waiting import until

CLIENTS = 6
LOCATION = 'max_retries = 2\nretry_on = ["connect", "reset", "timeout"]'
UPSTREAM = """
connection_timeout = "500ms"
read_timeout = "500ms"
circuit_break_max_consecutive_failures = 3
circuit_break_half_open_consecutive_success_threshold = 2
circuit_break_open_duration = "300ms"
"""


class Load:
    """Clients that make requests all the time."""

    def __init__(self, proxy: Process) -> None:
        self._proxy = proxy
        self._end = threading.Event()
        self.answers: Counter[tuple[int, bytes]] = Counter()
        self.errors: list[str] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]

    def _run(self) -> None:
        try:
            with self._proxy.connect() as client:
                while not self._end.wait(0.001):
                    answer = client.get("/")
                    self.answers[answer.status, answer.body] += 1
        except Exception as error:
            self.errors.append(repr(error))

    def by(self, name: str) -> int:
        """Return how many answers came from an origin."""
        return self.answers[200, name.encode()]

    def wait_for(self, count: int, name: str = "") -> None:
        """Return once there are so many more answers, from an origin or from any."""

        def so_far() -> int:
            return self.by(name) if name else self.answers.total()

        end = so_far() + count
        until(lambda: self.errors or so_far() >= end, f"{self.answers} {self.errors}", 30)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(20)


@pytest.fixture
def origins() -> Iterator[list[OriginProcess]]:
    with ExitStack() as stack:
        yield [stack.enter_context(OriginProcess(name)) for name in ("a1", "b2", "c3")]


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def proxy(
    origins: list[OriginProcess], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Process]:
    addrs = [origin.addr for origin in origins]
    basic = f"threads = {request.param}"
    text = configure(*addrs, basic=basic, location=LOCATION, upstream=UPSTREAM)
    with Process(text, tmp_path) as one:
        yield one


def check(load: Load) -> None:
    assert load.errors == []
    assert {status for status, _ in load.answers} == {200}, load.answers


def test_no_request_fails_while_a_backend_is_killed_and_restarted(
    proxy: Process, origins: list[OriginProcess]
) -> None:
    victim = origins[1]
    opens = f"circuit breaker of origin({victim.addr}) opens"
    with Load(proxy) as load:
        for _ in range(3):
            load.wait_for(50, victim.name)
            before = proxy.log.count(opens)
            victim.kill()
            until(lambda before=before: proxy.log.count(opens) > before)
            load.wait_for(200)
            victim.restart()
        load.wait_for(50, victim.name)
    check(load)


def test_no_request_fails_while_a_backend_is_frozen(
    proxy: Process, origins: list[OriginProcess]
) -> None:
    victim = origins[1]
    with Load(proxy) as load:
        load.wait_for(50, victim.name)
        victim.freeze()
        proxy.wait_for_log(f"circuit breaker of origin({victim.addr}) opens")
        load.wait_for(200)
        victim.thaw()
        load.wait_for(50, victim.name)
    check(load)
