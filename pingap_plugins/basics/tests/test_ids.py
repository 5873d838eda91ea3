"""Making ids."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import uuid

import pytest
from pingap_basics import ids


def test_uuid_is_of_version_7_and_made_now() -> None:
    before = time.time_ns() // 1_000_000
    text = ids.uuid7()
    after = time.time_ns() // 1_000_000
    found = uuid.UUID(text)
    assert str(found) == text
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert before <= found.int >> 80 <= after


def test_uuids_are_unique_and_ascend() -> None:
    made = [ids.uuid7() for _ in range(100_000)]
    assert len(set(made)) == len(made)
    assert made == sorted(made)


def test_uuids_of_one_millisecond_are_unique(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    made = [ids.Uuid7()() for _ in range(1000)]
    one_source = ids.Uuid7()
    made += [one_source() for _ in range(1000)]
    assert len(set(made)) == 2000
    assert {text[:14] for text in made} == {"018bcfe5-6800-"}


def test_uuids_are_unique_after_a_clock_that_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    source = ids.Uuid7()
    clock = [2_000_000, 1_000_000, 2_000_000]
    monkeypatch.setattr(time, "time_ns", lambda: clock.pop())
    assert len({source(), source(), source()}) == 3


def test_random_bits_are_drawn_again_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    source = ids.Uuid7()
    clock = [1_700_000_000_000_000_000]
    monkeypatch.setattr(time, "time_ns", lambda: clock[0])
    texts = []
    for _ in range(3):
        texts.append(source())
        clock[0] += 600_000_000
    first, second, third = (text[14:28] for text in texts)
    assert first == second != third


_FORK = """
import os
from pingap_basics import ids
ids.time.time_ns = lambda: 1_700_000_000_000_000_000
ids.uuid7()
child = os.fork()
if child:
    assert os.waitpid(child, 0)[1] == 0
print(ids.uuid7(), flush=True)
"""


def test_uuids_differ_after_a_fork_in_the_same_millisecond() -> None:
    done = subprocess.run([sys.executable, "-c", _FORK], capture_output=True, text=True, check=True)
    child, parent = done.stdout.split()
    assert child != parent


@pytest.mark.parametrize("size", [1, 8, 128])
def test_nanoid_has_its_size_and_alphabet(size: int) -> None:
    assert re.fullmatch(rf"[A-Za-z0-9_-]{{{size}}}", ids.Nanoid(size)())


def test_nanoid_uses_all_letters_alike() -> None:
    text = "".join(ids.Nanoid(128)() for _ in range(1000))
    counts = {letter: text.count(letter) for letter in set(text)}
    assert len(counts) == 64
    assert min(counts.values()) > 1500  # 2000 expected; 11 standard deviations away


def test_nanoids_are_unique() -> None:
    make = ids.Nanoid(21)
    assert len({make() for _ in range(10_000)}) == 10_000
