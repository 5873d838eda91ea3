"""The circuit breaker between real processes, which all do as they like at the same time."""

from __future__ import annotations

import json

import pytest
from support.processes import run

CODE = """
import json, os, random, sys, time
from pingap.shared_state.segment import SharedSegment
from pingap.upstream.circuit_breaking.breaker import BreakerSettings, CircuitBreaker, State

WORKERS, SECONDS, PROBES = 4, 1.5, 2
settings = BreakerSettings(
    max_consecutive_failures=3,
    max_failure_percent=50,
    probes=PROBES,
    open_duration=0.0005,
)
segment = SharedSegment(workers=WORKERS)

def work(worker):
    shared = segment.attach(worker)
    one, places = CircuitBreaker(settings, shared, "a"), shared.gauge("a")
    chance, token, under_way = random.Random(worker), 0, []
    told, most, probes = dict(opens=0, wakes=0, closes=0), 0, 0
    end = time.monotonic() + SECONDS
    while (now := time.monotonic()) < end:
        told["wakes"] += one.wake(now)
        one.look()
        if len(under_way) < 4 and one.admit(token):
            under_way.append(token)
            token += 1
            most = max(most, places.value)
        if under_way and chance.random() < 0.7:
            ended = under_way.pop(chance.randrange(len(under_way)))
            if chance.random() < 0.5:
                told["opens"] += one.failed(ended, now)
            else:
                told["closes"] += one.succeeded(ended, now)
            probes += one.release(ended)
    for ended in under_way:
        one.release(ended)
    return dict(told, most=most, probes=probes)

pipes = []
for worker in range(WORKERS):
    ours, theirs = os.pipe()
    if os.fork() == 0:
        os.write(theirs, json.dumps(work(worker)).encode())
        os._exit(0)
    os.close(theirs)
    pipes.append(ours)
found = [json.loads(os.fdopen(ours).read()) for ours in pipes]
for _ in found:
    os.wait()
shared = segment.attach(0)
term, state, _, _ = shared.table("circuit_breaker", "qqdq").get("a")
print(json.dumps(dict(workers=found, term=term, places=shared.gauge("a").value)))
"""


@pytest.mark.timeout(60)
def test_each_change_is_made_and_told_by_one_worker() -> None:
    code, out, errors = run(CODE)
    assert (code, errors) == (0, "")
    found = json.loads(out)
    workers = found["workers"]

    def in_all(what: str) -> int:
        return sum(worker[what] for worker in workers)

    assert in_all("opens") + in_all("closes") == found["term"] > 100
    assert in_all("opens") - 1 <= in_all("wakes") <= in_all("opens")
    assert max(worker["most"] for worker in workers) == 2
    assert in_all("probes") > 100
    assert found["places"] == 0
