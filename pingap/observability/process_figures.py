"""Memory, open files and TCP sockets, as gauges (observability.md 3.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_MIB = 1024 * 1024


def process_figures() -> dict[str, float]:
    """Return ``memory`` in bytes and ``fd_count`` of this process. Empty if there is no ``/proc``."""
    from prometheus_client.process_collector import ProcessCollector

    found = {
        sample.name: sample.value
        for family in ProcessCollector(registry=None).collect()
        for sample in family.samples
    }
    names = {"process_resident_memory_bytes": "memory", "process_open_fds": "fd_count"}
    return {ours: found[theirs] for theirs, ours in names.items() if theirs in found}


def process_metrics(server: str, total: Mapping[str, float]) -> Iterator[Metric]:
    """Yield the series.

    :param total: the sum of the ``process_figures`` of all workers.
    """
    from prometheus_client.core import GaugeMetricFamily

    values = {
        "memory": ("Resident memory of all workers, in MB", total.get("memory", 0) / _MIB),
        "fd_count": ("Open files of all workers", total.get("fd_count")),
        "tcp_count": ("TCP sockets over IPv4 of the machine", _sockets("sockstat", "TCP")),
        "tcp6_count": ("TCP sockets over IPv6 of the machine", _sockets("sockstat6", "TCP6")),
    }
    for name, (text, value) in values.items():
        if value is not None:
            family = GaugeMetricFamily(f"pingap_{name}", text, labels=["server"])
            family.add_metric([server], value)
            yield family


def _sockets(file: str, protocol: str) -> int | None:
    try:
        text = Path("/proc/net", file).read_text()
    except OSError:
        return None
    match = re.search(rf"^{protocol}: inuse (\d+)", text, re.MULTILINE)
    return int(match[1]) if match else None
