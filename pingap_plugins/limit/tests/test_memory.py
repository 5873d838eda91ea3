"""Memory is bounded, and who is over the limit stays so however many others come."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pingap_limit.rates import Rate
from pingap_limit.strategies import LocalLimiter

from pingap import SharedState
from pingap.shared_state.local import LocalState
from pingap.shared_state.segment import SharedSegment

LIMITED = 1000


def segment() -> SharedState:
    return SharedSegment(workers=4).attach(0)


def resident() -> int:
    """Return the bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("make", "clients"), [(LocalState, 300_000), (segment, 150_000)])
def test_more_clients_than_there_is_space_for(
    make: Callable[[], SharedState], clients: int
) -> None:
    shared = make()
    limiter = LocalLimiter(shared, "slow", "fixed-window", Rate(2, 3600.0), 0.5, 2)
    for number in range(LIMITED):
        key = f"limited {number}"
        assert [limiter.hit(key) for _ in range(3)] == [True, True, False]
    for number in range(100_000):  # space is full
        limiter.hit(f"{number}")
    before = resident()
    for number in range(100_000, clients):
        limiter.hit(f"{number}")
    grown = resident() - before
    assert grown < 16 * 2**20  # without a bound it would be more than 40 MiB for 200,000
    assert not any(limiter.hit(f"limited {number}") for number in range(LIMITED))
    stats = shared.stats()
    assert stats.used["quotas"] <= stats.slots["quotas"]
    assert stats.evictions["quotas"] > clients - 100_000
