"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest
from pingap_cache.showing import NOTHING, duration, size, summary, verdicts

STORE = {
    "entries": 2,
    "bytes": 2048,
    "limit": None,
    "evictions": 1,
    "reads": 4,
    "read_seconds": 0.002,
    "writes": 1,
    "write_seconds": 0.01,
    "corrupt": 0,
    "failures": 0,
}


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**30, "1.0 GiB"), (2**45, "32.0 TiB")],
)
def test_sizes(number: float, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (86400 * 30, "30d"), (math.inf, "-")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_workers_share_a_disk_and_not_their_memory() -> None:
    memory = {**STORE, "limit": 4096, "read_seconds": 0.0, "write_seconds": 0.0}
    disk = {**STORE, "corrupt": 3, "failures": 1}
    worker = {"directory": "/x", "stores": {"memory": memory, "disk": disk}, "requests": {"hit": 1}}
    assert list(summary("c", [worker, worker])) == [
        "c: /x, 2 workers",
        "  memory    4 entries, 4.0 KiB of 8.0 KiB, 2 evicted",
        "  disk      2 entries, 2.0 KiB, 2 evicted, 8 reads of 0.5 ms, 2 writes of 10.0 ms,"
        " 6 found damaged, 2 failures",
        "  requests  2, 100% from the cache: hit 2",
    ]


def test_nothing_was_asked_for() -> None:
    [_, requests] = summary("c", [{"directory": "memory", "stores": {}, "requests": {"hit": 0}}])
    assert requests == "  requests  none"


def test_locations_that_have_nothing_are_named_if_no_other_has_anything() -> None:
    def reply(name: str, **texts: str) -> dict[str, object]:
        found = [{"location": location, "text": text} for location, text in texts.items()]
        return {"plugin": name, "verdicts": found}

    nothing = [reply("c", one=NOTHING, two=NOTHING), reply("d", three=NOTHING)]
    assert verdicts(nothing) == [
        f"c, locations one, two: {NOTHING}",
        f"d, location three: {NOTHING}",
    ]
    some = [reply("c", one=NOTHING, two="fresh: x"), reply("c", one=NOTHING, two="stale: x")]
    assert verdicts(some) == ["c, location two: fresh: x", "c, location two: stale: x"]
    assert verdicts([]) == []
