"""Requests in progress, over all workers of this instance."""

from __future__ import annotations

from typing import Protocol

from pingap import SharedGauge, SharedState


class Slot(Protocol):
    """The place of a request in progress."""

    def release(self) -> None:
        """Give the place back; called once."""


class GaugeSlot:
    """A place that is counted by a gauge. If the worker dies, the gauge forgets it."""

    __slots__ = ("_gauge",)

    def __init__(self, gauge: SharedGauge) -> None:
        self._gauge = gauge

    def release(self) -> None:
        """Give the place back."""
        self._gauge.add(-1)


class Slots:
    """The places of a limit.

    :param name: of the limit.
    :param most: number of places for each key.
    """

    def __init__(self, shared: SharedState, name: str, most: int) -> None:
        self._shared = shared
        self._prefix = f"limit:{name}:"
        self._most = most

    def enter(self, key: str) -> Slot | int:
        """Take a place; or return the number of requests in progress if there is none."""
        gauge = self._shared.gauge(self._prefix + key)
        if gauge.add_below(self._most):
            return GaugeSlot(gauge)
        return gauge.value
