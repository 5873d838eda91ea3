"""The metrics page of a proxy, for queries by tests."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

_ENDINGS: Final = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
"""Type of a family -> suffixes of its series."""


class Metrics:
    """All series at one point in time.

    :param text: the page in the text format of Prometheus.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._families: list[Metric] = list(text_string_to_metric_families(text))

    def value(self, name: str, **labels: str) -> float:
        """Return the value of one series; 0 if nothing was counted with these labels yet.

        :param name: as on the page: ``pingap_http_requests_total``.
        :param labels: the labels to compare.
        :raises KeyError: there is no such metric.
        :raises ValueError: several series match the labels; the message names them.
        """
        samples = [one for family in self._families for one in family.samples]
        known = {name for family in self._families for name in _names(family)}
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(known))}"
            raise KeyError(f"there is no metric {name}; {hint}")
        fitting = [
            one for one in samples if one.name == name and labels.items() <= one.labels.items()
        ]
        if len(fitting) > 1:
            every = ", ".join(str(one.labels) for one in fitting)
            raise ValueError(f"{len(fitting)} series of {name} fit {labels}: {every}")
        return fitting[0].value if fitting else 0.0


def _names(family: Metric) -> set[str]:
    """Return the names that series of a family have, or will have once something is counted."""
    if family.samples:
        return {one.name for one in family.samples}
    return {family.name + ending for ending in _ENDINGS.get(family.type, ("",))}
