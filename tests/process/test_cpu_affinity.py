"""Workers on processors of their own."""

from __future__ import annotations

import os
import sys

import pytest
from support.processes import run

CODE = """
import os
from pingap.host.cpu_affinity import pin
for index in range(3):
    if not os.fork():
        print(index, pin(index), *os.sched_getaffinity(0), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="this system cannot do it")
def test_each_worker_gets_the_next_of_the_processors_it_may_use() -> None:
    allowed = sorted(os.sched_getaffinity(0))
    code, out, err = run(CODE)
    assert (code, err) == (0, "")
    expected = [(index, allowed[index % len(allowed)]) for index in range(3)]
    assert out.splitlines() == [f"{index} {cpu} {cpu}" for index, cpu in expected]
