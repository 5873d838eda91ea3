"""One sweep looks after the time limits of all connections of a worker."""

from __future__ import annotations

import logging
import math

import pytest

from pingap.wire.deadlines import Deadlines


class Limited:
    def __init__(self, *, broken: bool = False) -> None:
        self.deadline = 1.0
        self.broken = broken
        self.ended = 0

    def on_deadline(self) -> None:
        self.ended += 1
        if self.broken:
            raise ValueError("broken")
        self.deadline = math.inf


def test_a_defect_with_one_connection_does_not_end_the_limits_of_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    deadlines = Deadlines()
    all_of_them = [Limited(broken=number == 3) for number in range(6)]
    for one in all_of_them:
        deadlines.watch(one)
    with caplog.at_level(logging.ERROR, "pingap"):
        deadlines.sweep(2.0)
        deadlines.sweep(3.0)
        assert [one.ended for one in all_of_them] == [1] * 6
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        deadlines.sweep(100.0)  # it is not forgotten
    assert all_of_them[3].ended == 2
