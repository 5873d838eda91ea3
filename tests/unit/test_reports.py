"""What a worker reports of metrics that plugins collect."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import anyio
import pytest

from pingap import Counter, Gauge, Metric, Plugin
from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.build.runtime import Runtime
from pingap.config import parse
from pingap.observability.sums import Figures, no_figures, put
from pingap.worker.channel import Channel, pair
from pingap.worker.reporter import Reporter

TOML = """
[plugins.shop]
category = "shop"
[locations.all]
plugins = ["shop"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
"""


class Shop(Plugin):
    """Collects what it keeps."""

    category = "shop"
    made: list[Metric]
    calls: int

    def collect(self) -> Iterable[Metric]:
        self.calls += 1
        return self.made


class Reported:
    """A worker's reports, and what its supervisor makes of them."""

    def __init__(self) -> None:
        self._registry = installed_registry(())
        self._registry.offer(Shop)
        self.runtime = self._build(None)
        (instance,) = (one for one in self.runtime.plugins if one.name == "shop")
        assert isinstance(instance.plugin, Shop)
        self.shop = instance.plugin
        self.shop.made, self.shop.calls = [], 0
        ours, theirs = pair()
        self._worker, self._supervisor = Channel(theirs), Channel(ours)
        self._reporter = Reporter(self._worker, lambda: self.runtime)
        self.figures: Figures = no_figures()

    def _build(self, previous: Runtime | None) -> Runtime:
        return build(parse(TOML), self._registry, previous=previous)

    def reload(self) -> None:
        """Have a new runtime, with the plugin that was there."""
        self.runtime = self._build(self.runtime)
        assert self.shop in [one.plugin for one in self.runtime.plugins]

    async def report(self, *, on_demand: bool = False) -> None:
        await self._reporter.report(on_demand=on_demand)
        self._worker.send("end")
        while (message := await self._supervisor.receive()) and message["kind"] != "end":
            if message["replaces"]:
                self.figures = no_figures()
            put(self.figures, message["entries"])

    def collected(self) -> dict[str, float]:
        """Return what the supervisor knows, by name."""
        found = {}
        for part in (self.figures["plugins"], *self.figures["gauges"].values()):
            for shape, series in part.get("shop", {}).items():
                found[shape.split('"')[3]] = series["[]"]
        return found

    def close(self) -> None:
        self._worker.close()
        self._supervisor.close()


def check(use: Callable[[Reported], object]) -> None:
    async def run() -> None:
        worker = Reported()
        try:
            await use(worker)  # type: ignore[misc]
        finally:
            worker.close()

    anyio.run(run)


def counter(value: float) -> Counter:
    made = Counter("shop_hits", "Hits")
    made.inc(value)
    return made


def gauge(value: float) -> Gauge:
    made = Gauge("shop_size", "Size")
    made.set(value)
    return made


def test_metrics_are_collected_on_demand_only() -> None:
    async def use(worker: Reported) -> None:
        worker.shop.made = [counter(1), gauge(2)]
        await worker.report()
        assert (worker.shop.calls, worker.collected()) == (0, {})
        await worker.report(on_demand=True)
        assert (worker.shop.calls, worker.collected()) == (1, {"shop_hits": 1, "shop_size": 2})
        await worker.report()
        assert (worker.shop.calls, worker.collected()) == (1, {"shop_hits": 1, "shop_size": 2})

    check(use)


def test_a_gauge_that_is_missing_is_forgotten() -> None:
    async def use(worker: Reported) -> None:
        worker.shop.made = [counter(1), gauge(2)]
        await worker.report(on_demand=True)
        worker.shop.made = []
        await worker.report(on_demand=True)
        assert worker.collected() == {"shop_hits": 1}
        worker.shop.made = [gauge(2)]
        await worker.report(on_demand=True)
        assert worker.collected() == {"shop_hits": 1, "shop_size": 2}

    check(use)


def test_a_reload_loses_nothing_that_was_collected() -> None:
    async def use(worker: Reported) -> None:
        worker.shop.made = [counter(1)]
        await worker.report(on_demand=True)
        worker.reload()
        await worker.report()
        assert worker.collected() == {"shop_hits": 1}

    check(use)


@pytest.mark.parametrize("merges", [("sum", "max"), ("max", "min")])
def test_a_gauge_may_become_another(merges: tuple[str, str]) -> None:
    async def use(worker: Reported) -> None:
        for number, merge in enumerate(merges):
            made = Gauge("shop_size", "Size", merge=merge)  # type: ignore[arg-type]
            made.set(number)
            worker.shop.made = [made]
            await worker.report(on_demand=True)
            assert worker.collected() == {"shop_size": number}

    check(use)
