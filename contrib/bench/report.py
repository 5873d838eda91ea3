"""Samples, and how they are shown: lines for a terminal, tables for the manual."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

REFERENCE = "nginx"
"""The proxy that the others are compared with."""

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """The result of one run, or the median of several.

    :param user: microseconds of CPU time for a request, outside the kernel.
    :param kernel: the same within the kernel.
    :param rate: requests per second on the clock.
    :param p50: milliseconds; None if the tool does not report it.
    :param p99: the same.
    :param memory: bytes, of the whole process tree, after the run.
    """

    user: float
    kernel: float
    rate: float
    p50: float | None
    p99: float | None
    memory: float

    @property
    def cost(self) -> float:
        """Microseconds of CPU time for a request."""
        return self.user + self.kernel

    def times_as_many(self, reference: Sample) -> float:
        """Return the requests per CPU second, relative to those of another."""
        return reference.cost / self.cost

    @classmethod
    def median(cls, samples: Sequence[Sample]) -> Sample:
        """Return the sample of the median cost; rate, times and memory are separate medians.

        User and kernel time are not, because their sum has to be a cost that was measured.
        """
        middle = sorted(samples, key=lambda one: one.cost)[(len(samples) - 1) // 2]
        return cls(
            middle.user,
            middle.kernel,
            statistics.median(one.rate for one in samples),
            _median_of([one.p50 for one in samples]),
            _median_of([one.p99 for one in samples]),
            statistics.median(one.memory for one in samples),
        )


def _median_of(values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return statistics.median(known) if known else None


Row: TypeAlias = dict[str, Sample]
"""Samples by proxy."""


def show(scenario: str, row: Row) -> Iterator[str]:
    """Yield a line for each proxy."""
    reference = row.get(REFERENCE)
    width = max((len(name) for name in row), default=0)
    for name, one in row.items():
        ratio = f"{one.times_as_many(reference):5.2f} x {REFERENCE}" if reference else ""
        yield (
            f"{scenario:14} {name:{width}} {1e6 / one.cost:8.0f} req/CPU-s {one.cost:7.1f} us/req "
            f"({one.user:.1f} user + {one.kernel:.1f} kernel) {one.rate:7.0f} req/s  "
            f"p50/p99 {_times(one)} ms  {one.memory / MIB:6.1f} MiB {ratio}"
        )


def tables(results: dict[str, Row], names: Sequence[str], about: str) -> str:
    """Return the tables of the manual.

    :param results: rows by scenario.
    :param names: the columns.
    :param about: how it was measured.
    """
    ratios = f"CPU time per request, µs (requests per CPU second, {REFERENCE} = 1)"
    most = {name: _most_memory(name, results) for name in names}
    parts = [
        about,
        f"### {ratios}",
        _by_scenario(results, names, _cost),
        "### Answer time, ms: median / 99th percentile",
        _by_scenario(
            {key: row for key, row in results.items() if any(one.p99 for one in row.values())},
            names,
            lambda one, _: _times(one),
        ),
        "### Memory after a run, MiB",
        table(["", *names], [["at most", *(most[name] for name in names)]]),
    ]
    return "\n\n".join(parts) + "\n"


def _by_scenario(
    results: dict[str, Row], names: Sequence[str], cell: Callable[[Sample, Sample | None], str]
) -> str:
    rows = [
        [key, *(cell(row[one], row.get(REFERENCE)) if one in row else "-" for one in names)]
        for key, row in results.items()
    ]
    return table(["scenario", *names], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _cost(one: Sample, reference: Sample | None) -> str:
    ratio = f" ({one.times_as_many(reference):.2f})" if reference else ""
    return f"{one.cost:.1f}{ratio}" if one.cost < 100 else f"{one.cost:.0f}{ratio}"


def _times(one: Sample) -> str:
    return " / ".join("-" if value is None else f"{value:.2f}" for value in (one.p50, one.p99))


def _most_memory(name: str, results: dict[str, Row]) -> str:
    seen = [row[name].memory for row in results.values() if name in row]
    return f"{max(seen) / MIB:.1f}" if seen else "-"


def machine() -> str:
    """Return the date, the processor, the kernel and how busy the machine is."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    processor = model[1].strip() if model else platform.machine()
    today, load = datetime.now(UTC), os.getloadavg()[0]
    return (
        f"{today:%-d %B %Y}; {processor}, {os.cpu_count()} cores; Linux {platform.release()}; "
        f"load average before the run {load:.1f}"
    )


def rounds(number: int, seconds: int) -> str:
    """Return the number and duration of the rounds as text."""
    return (
        f"Median of {number} rounds of {seconds} s" if number > 1 else f"One round of {seconds} s"
    )


def publish(text: str, name: str, target: str) -> None:
    """Print a text, or put it between its two marks in a file.

    :param name: of the marks, which are the comments ``begin NAME`` and ``end NAME``.
    :param target: a path; ``-`` prints.
    :raises ValueError: the file has no such marks.
    """
    if target == "-":
        print(text)
        return
    path = Path(target)
    path.write_text(replace_part(path.read_text(), name, text))


def replace_part(page: str, name: str, text: str) -> str:
    """Return a page with another text between two marks.

    :raises ValueError: it has no such marks.
    """
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    if begin not in page or end not in page:
        raise ValueError(f"no part {name!r}: {begin.strip()} and {end} are missing")
    before, rest = page.split(begin, 1)
    _, after = rest.split(end, 1)
    return f"{before}{begin}\n{text.strip()}\n\n{end}{after}"
