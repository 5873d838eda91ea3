"""Memory is bounded, and who is over the limit stays so however many others come."""

from __future__ import annotations

import resource
from collections.abc import Callable

import pytest
from pingap_limit.rates import Rate
from pingap_limit.strategies import LocalLimiter

from pingap import SharedState
from pingap.shared_state.local import LocalState
from pingap.shared_state.segment import SharedSegment

LIMITED = 1000


def segment() -> SharedState:
    return SharedSegment(workers=4).attach(0)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("make", "clients"), [(LocalState, 1_000_000), (segment, 200_000)])
def test_a_million_clients(make: Callable[[], SharedState], clients: int) -> None:
    shared = make()
    limiter = LocalLimiter(shared, "slow", "fixed-window", Rate(2, 3600.0), 0.5, 2)
    for number in range(LIMITED):
        key = f"limited {number}"
        assert [limiter.hit(key) for _ in range(3)] == [True, True, False]
    for number in range(100_000):  # space is full
        limiter.hit(f"{number}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(100_000, clients):
        limiter.hit(f"{number}")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 32 * 1024  # KiB; without a bound it would be more than 200 MiB for a million
    assert not any(limiter.hit(f"limited {number}") for number in range(LIMITED))
    stats = shared.stats()
    assert stats.used["quotas"] <= stats.slots["quotas"]
    assert stats.evictions["quotas"] > clients - 100_000
