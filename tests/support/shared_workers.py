"""Programs that fork workers on one segment: run in a process of their own, which has no threads.

    python shared_workers.py exact [without_memfd]
    python shared_workers.py kills SECONDS
    python shared_workers.py every_change OPERATION
    python shared_workers.py every_instruction OPERATION

Each prints what it has seen as JSON, and fails with a traceback if a promise was broken.
"""

from __future__ import annotations

import dataclasses
import json
import mmap
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dis import opname
from pathlib import Path
from types import FrameType
from typing import Any, Final

import anyio

import pingap.shared_state
from pingap import Quota, SharedState
from pingap.shared_state.segment import SharedSegment
from pingap.shared_state.state import Sizes

PACKAGE: Final = str(Path(pingap.shared_state.__file__).parent)
SMALL: Final = Sizes(**dict.fromkeys((field.name for field in dataclasses.fields(Sizes)), 16))
PATIENCE: Final = 20
"""Seconds after which something is not slow, but blocked."""


def fork(work: Callable[[], None]) -> int:
    """Call a function in a child; return its number."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        signal.alarm(3 * PATIENCE)
        work()
        code = 0
    except BaseException as error:  # tell it, and do not go on with the parent's program
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        os._exit(code)


def join(pids: list[int]) -> None:
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0, "a worker failed"


def bump(state: SharedState, key: str) -> None:
    """Add 1 to a record, whose values depend on each other."""
    with state.table("t", "qqd").locked(key) as record:
        number = int((record.values or check((0, 0, 0.0)))[0]) + 1
        record.values = (number, -number, number / 4)


def check(values: tuple[float, ...] | None) -> tuple[float, ...]:
    """Return the values of a record that is whole."""
    assert values is not None
    number = values[0]
    assert values == (number, -number, number / 4), f"half of a record: {values}"
    return values


def take(state: SharedState, key: str) -> None:
    """Add 1 to a quota."""
    state.quotas("q").change(key, lambda old: Quota(b"%d" % (int(old or b"0") + 1), 600, False))


def taken(state: SharedState, limit: int = 50) -> bool:
    """Take one of a few that all workers share; return whether one was left."""
    passed = False

    def compute(old: bytes | None) -> Quota | None:
        nonlocal passed
        number = int(old or b"0") + 1
        passed = number <= limit
        return Quota(b"%d" % number, 600, number >= limit) if passed else None

    state.quotas("few", value_bytes=100).change("all", compute)
    return passed


# All totals are exact.


def exact(workers: int = 4, rounds: int = 1500) -> dict[str, Any]:
    """Hammer the same keys, which all workers make at the same time."""
    segment = SharedSegment(workers=workers)
    unguarded = memoryview(mmap.mmap(-1, 8)).cast("Q")

    async def count_locked(state: SharedState) -> None:
        for _ in range(rounds // 50):
            async with state.lock("same", 60):
                number = unguarded[0]
                await anyio.sleep(0.0001)
                unguarded[0] = number + 1

    def work(index: int) -> None:
        state = segment.attach(index)
        anyio.run(count_locked, state)
        used = state.values("used")
        for turn in range(rounds):
            key = f"{turn % 50}"
            state.counter(key).add(3)
            take(state, key)
            if taken(state):
                state.counter("taken").add()
            if used.add(key, b"", 600):
                state.counter("added").add()
            gauge = state.gauge(key)
            gauge.add(2)
            gauge.add(-1)
            if (crowded := state.gauge("crowded")).add_below(2):
                if crowded.value > 2:
                    state.counter("too many").add()
                crowded.add(-1)
            state.window(key, 1e9).add(now=1.0)
            if turn % 5 == 0:
                bump(state, key)
                check(state.table("t", "qqd").get(key))

    join([fork(lambda index=index: work(index)) for index in range(workers)])  # type: ignore[misc]
    state = segment.attach(0)
    table = state.table("t", "qqd")
    keys = [str(key) for key in range(50)]
    before = segment.stats().used
    return {
        "rounds": workers * rounds,
        "counters": sum(state.counter(key).value for key in keys),
        "gauges": sum(state.gauge(key).value for key in keys),
        "windows": sum(state.window(key, 1e9).total(now=1.0) for key in keys),
        "table": sum(check(table.get(key))[0] for key in keys[::5]),
        "used": before,
        "quotas": sum(int(state.quotas("q").get(key) or b"0") for key in keys),
        "taken": state.counter("taken").value,
        "too many": state.counter("too many").value,
        "added": state.counter("added").value,
        "locked": unguarded[0],
    }


# Killed at random.


class Progress:
    """Numbers that a worker has to itself: what it meant to do and what it has done."""

    def __init__(self, workers: int) -> None:
        self.words = memoryview(mmap.mmap(-1, 16 * workers)).cast("Q")

    def of(self, index: int) -> int:
        return self.words[2 * index + 1]

    @property
    def meant(self) -> int:
        return sum(self.words[0::2].tolist())

    @property
    def done(self) -> int:
        return sum(self.words[1::2].tolist())


def hammer(segment: SharedSegment, index: int, progress: Progress) -> None:
    """Do everything there is to do, for ever."""
    state = segment.attach(index)
    luck = random.Random()
    table = state.table("t", "qqd")
    while True:
        progress.words[2 * index] += 1
        state.counter("all").add()
        progress.words[2 * index + 1] += 1
        gauge = state.gauge(f"{luck.randrange(4)}")
        gauge.add()
        state.window(f"{luck.randrange(1000)}", 10).add()  # most of them evict another
        key = f"{luck.randrange(4)}"
        bump(state, key)
        check(table.get(f"{luck.randrange(4)}") or (0, 0, 0.0))
        gauge.add(-1)


def kills(seconds: float, workers: int = 3) -> dict[str, Any]:
    """Kill workers at random moments; the others go on, and a new one takes the place."""
    segment = SharedSegment(
        workers=workers, sizes=Sizes(counters=16, gauges=16, windows=32, tables=16)
    )
    progress = Progress(workers)

    def start(index: int) -> int:
        return fork(lambda: hammer(segment, index, progress))

    pids = [start(index) for index in range(workers)]
    killed, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(random.random() * 0.01)
        victim = random.randrange(workers)
        os.kill(pids[victim], signal.SIGKILL)
        assert os.waitpid(pids[victim], 0)[1] == signal.SIGKILL
        killed += 1
        segment.release_worker(victim)
        if killed % 10 == 0:
            others = [index for index in range(workers) if index != victim]
            everybody_goes_on(progress, others)
        pids[victim] = start(victim)
    everybody_goes_on(progress, list(range(workers)))
    for index, pid in enumerate(pids):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        segment.release_worker(index)
    state = segment.attach(0)
    assert progress.done <= state.counter("all").value <= progress.meant
    assert [state.gauge(f"{key}").value for key in range(4)] == [0] * 4
    table = state.table("t", "qqd")
    before = [check(table.get(f"{key}"))[0] for key in range(4)]
    for key in range(4):
        bump(state, f"{key}")
    assert [check(table.get(f"{key}"))[0] for key in range(4)] == [one + 1 for one in before]
    return {"killed": killed, "done": progress.done, "evictions": segment.stats().evictions}


def everybody_goes_on(progress: Progress, workers: list[int]) -> None:
    before = {index: progress.of(index) for index in workers}
    end = time.monotonic() + PATIENCE
    while any(progress.of(index) < before[index] + 2 for index in workers):
        assert time.monotonic() < end, f"blocked: {before}"
        time.sleep(0.001)


# Killed at every point.


def new_key(state: SharedState, turn: int) -> None:
    state.counter(f"{turn}").add()


def add(state: SharedState, turn: int) -> None:
    state.counter("same").add()
    state.gauge("same").add()
    state.window("same", 10).add(now=1.0)


def make_record(state: SharedState, turn: int) -> None:
    bump(state, f"new {turn}")


def make_value(state: SharedState, turn: int) -> None:
    values = state.values("v", value_bytes=100)
    values.set(f"new {turn}", value_of(turn), 60)
    values.add(f"new {turn}", b"another", 60)


def change_value(state: SharedState, turn: int) -> None:
    state.values("v").set("same", value_of(turn)[:64], 60)


def value_of(turn: int) -> bytes:
    return str(turn).encode() * 16


def make_quota(state: SharedState, turn: int) -> None:
    take(state, f"new {turn}")


def change_quota(state: SharedState, turn: int) -> None:
    take(state, "same")


def enter(state: SharedState, turn: int) -> None:
    if state.gauge("entered").add_below(2):
        state.gauge("entered").add(-1)


def lock_and_go(state: SharedState, turn: int) -> None:
    async def work() -> None:
        async with state.lock("same", 3600) as lock:
            assert lock.is_held

    anyio.run(work)


def change_record(state: SharedState, turn: int) -> None:
    bump(state, "same")


OPERATIONS: Final = {
    one.__name__: one
    for one in (
        *(new_key, add, make_record, change_record),
        *(make_value, change_value, lock_and_go),
        *(make_quota, change_quota, enter),
    )
}


def every_point(operation: str, *, every_instruction: bool) -> dict[str, Any]:
    """Kill a worker before its first change of what is shared, its second one, and so on.

    :param every_instruction: before every instruction. It takes longer and should find nothing more:
        between two changes all is as it was.
    """
    operate = OPERATIONS[operation]
    segment = SharedSegment(workers=2, sizes=SMALL)
    other = segment.attach(1)
    for turn in range(16):  # all slots of new keys are taken
        other.counter(f"old {turn}").add()
        other.gauge("same").add(0)
        other.values("v", value_bytes=100).set(f"old {turn}", b"old", 1)
        take(other, f"old {turn}") if operation == "make_quota" else None
        bump(other, f"old {turn}") if operation == "make_record" else None
    turn = 0
    while True:
        turn += 1
        pid = fork(
            lambda: die_at(turn, lambda: operate(segment.attach(0), turn), every_instruction)  # noqa: B023
        )
        status = os.waitpid(pid, 0)[1]
        assert status in (0, signal.SIGKILL)
        segment.release_worker(0)
        signal.alarm(PATIENCE)  # ends this program if a lock was left behind
        if operation == "change_value" and turn > 1:  # the old one or the new one
            found = other.values("v").get("same")
            assert found in (value_of(turn - 1)[:64], value_of(turn)[:64]), found
        before = other.counter("same").value, other.window("same", 10).total(now=1.0)
        operate(other, turn)
        for state in (other, segment.attach(0)):
            everything_is_right(state, operation, turn, before)
        signal.alarm(0)
        if status == 0:
            return {"points": turn - 1}


def everything_is_right(
    state: SharedState, operation: str, turn: int, before: tuple[int, float]
) -> None:
    if operation == "new_key":
        assert state.counter(f"{turn}").value in (1, 2)
    elif operation == "add":
        assert state.counter("same").value == before[0] + 1
        assert state.window("same", 10).total(now=1.0) == before[1] + 1
        assert state.gauge("same").value == turn
    elif operation == "make_value":
        assert state.values("v", value_bytes=100).get(f"new {turn}") == value_of(turn)
    elif operation == "change_value":
        assert state.values("v").get("same") == value_of(turn)[:64]
    elif operation in ("make_quota", "change_quota"):
        key = "same" if operation == "change_quota" else f"new {turn}"
        number = int(state.quotas("q").get(key) or b"0")
        assert 1 <= number <= 2 * turn, (
            number
        )  # missing after a death in the middle, but never wrong
    elif operation == "enter":
        assert state.gauge("entered").value == 0
    elif operation == "lock_and_go":
        assert state.stats().used["locks"] == 0
    else:
        key = "same" if operation == "change_record" else f"new {turn}"
        number = check(state.table("t", "qqd").get(key))[0]
        # Each turn adds one, and the worker that was killed may have added another.
        assert turn <= number <= 2 * turn if key == "same" else number in (1, 2)


def die_at(number: int, work: Callable[[], None], every_instruction: bool) -> None:
    """Kill this process before an instruction of the shared state."""
    left = number

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and (every_instruction or changes_something(frame)):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    # Python 3.12 traces instructions only if a frame wants it when tracing begins.
    sys._getframe().f_trace_opcodes = True
    sys.settrace(trace)
    work()
    sys.settrace(None)


def changes_something(frame: FrameType) -> bool:
    """Tell whether the next instruction may change memory, or a lock."""
    if Path(frame.f_code.co_filename).name == "locks.py":
        return True
    return opname[frame.f_code.co_code[frame.f_lasti]] in ("STORE_SUBSCR", "STORE_SLICE")


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    if arguments == ["without_memfd"]:
        del os.memfd_create  # as on macOS
    if name == "exact":
        found = exact()
    elif name == "kills":
        found = kills(float(arguments[0]))
    else:
        found = every_point(arguments[0], every_instruction=name == "every_instruction")
    sys.stdout.write(json.dumps(found))
