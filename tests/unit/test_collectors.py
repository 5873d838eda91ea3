"""Metrics that plugins make when a page is read."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator

import anyio
import pytest

from pingap import Counter, Gauge, Histogram, Metric, Plugin, PluginSettings
from pingap.observability import metric_families
from pingap.observability.plugin_failures import PluginFailures
from pingap.plugins.chains import Instance
from pingap.plugins.collectors import Collectors
from pingap.proxy.exposition import ServerMetrics


class Shop(Plugin):
    """Collects what a test says."""

    category = "shop"

    def __init__(self, make: Callable[[], object]) -> None:
        super().__init__(PluginSettings())
        self.make = make

    def collect(self) -> Iterable[Metric]:
        return self.make()  # type: ignore[return-value]


class Site:
    """Some plugins, and their page."""

    def __init__(self, **plugins: Plugin) -> None:
        self.failures = PluginFailures()
        self.collectors = Collectors(self.failures)
        for name, plugin in plugins.items():
            self.collectors.add(Instance(name, plugin))

    def page(self) -> list[str]:
        """Collect, and return all samples."""
        anyio.run(self.collectors.run)
        text = ServerMetrics("web", {}, {}, self.collectors.metrics).page().decode()
        return [line for line in text.splitlines() if line.startswith("shop_")]


def gauge(value: float, name: str = "shop_size", *labels: str) -> Gauge:
    made = Gauge(name, "Size", ("kind",) if labels else ())
    (made.labels(*labels) if labels else made).set(value)
    return made


def counter(value: float, name: str = "shop_hits") -> Counter:
    made = Counter(name, "Hits")
    made.inc(value)
    return made


def sample(name: str, value: float, **labels: str) -> str:
    found = ",".join(f'{key}="{text}"' for key, text in sorted({**labels, "server": "web"}.items()))
    return f"{name}{{{found}}} {float(value)}"


def test_metrics_are_made_for_each_page() -> None:
    sizes = itertools.count(1)
    site = Site(one=Shop(lambda: [gauge(next(sizes))]), two=Shop(lambda: [gauge(-1)]))
    for value in (1, 2, 3):
        assert site.page() == [
            sample("shop_size", value, plugin="one"),
            sample("shop_size", -1, plugin="two"),
        ]


def test_every_kind_of_metric() -> None:
    def make() -> Iterator[Metric]:
        yield gauge(1, "shop_size", "a")
        yield counter(2)
        histogram = Histogram("shop_ages", "Ages", buckets=(1,))
        histogram.observe(5)
        yield histogram

    assert Site(one=Shop(make)).page() == [
        sample("shop_size", 1, kind="a", plugin="one"),
        sample("shop_hits_total", 2, plugin="one"),
        sample("shop_ages_bucket", 0, le="1.0", plugin="one"),
        sample("shop_ages_bucket", 1, le="+Inf", plugin="one"),
        sample("shop_ages_count", 1, plugin="one"),
        sample("shop_ages_sum", 5, plugin="one"),
    ]


def test_gauges_that_are_missing_are_gone_and_counters_stay() -> None:
    made: list[Metric] = [gauge(1), counter(2)]
    site = Site(one=Shop(lambda: made))
    assert len(site.page()) == 2
    made[:] = [gauge(3, "shop_rooms")]
    assert site.page() == [
        sample("shop_hits_total", 2, plugin="one"),
        sample("shop_rooms", 3, plugin="one"),
    ]


def test_a_metric_that_is_kept_may_be_yielded_again_and_again() -> None:
    kept = counter(1)
    site = Site(one=Shop(lambda: [kept]))
    site.page()
    kept.inc()
    assert site.page() == [sample("shop_hits_total", 2, plugin="one")]


class Keeper(Shop):
    """Has a metric of its own, too."""

    def __init__(self, make: Callable[[], object]) -> None:
        super().__init__(make)
        self.size = gauge(7, "shop_own")


def raises() -> Iterator[Metric]:
    yield gauge(1)
    raise LookupError("no such shelf")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (raises, "LookupError: no such shelf"),
        (lambda: (gauge(1), "metric"), "TypeError: it collected 'metric', which is not a metric"),
        (lambda: (gauge(1), gauge(2)), "ValueError: it collected two metrics called shop_size"),
        (lambda: (gauge(1), gauge(2, "shop_own")), "it has two metrics called shop_own"),
        (lambda: (gauge(1), counter(2, "shop_other")), "its metric shop_other has another type"),
        (lambda: (gauge(1), Gauge("not-a-name", "Odd")), "is not a name"),
    ],
)
def test_a_failure_is_reported_and_leaves_the_other_metrics(
    make: Callable[[], object], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(
        other=Shop(lambda: [gauge(3, "shop_other")]),
        bad=Keeper(make),
        last=Shop(lambda: [counter(5)]),
    )
    with caplog.at_level(logging.ERROR, "pingap"):
        page = site.page()
    bad = [] if text == "is not a name" else [sample("shop_size", 1, plugin="bad")]
    assert sorted(page) == sorted(
        [
            sample("shop_own", 7, plugin="bad"),
            sample("shop_other", 3, plugin="other"),
            *bad,
            sample("shop_hits_total", 5, plugin="last"),
        ]
    )
    assert site.failures.counts == {("bad", ""): 1}
    assert "plugin bad failed in collect" in caplog.text
    assert text in caplog.text


def test_what_is_no_series_of_metrics_is_reported() -> None:
    site = Site(bad=Shop(lambda: None))
    assert site.page() == []
    assert site.failures.counts == {("bad", ""): 1}


def test_a_counter_outlives_a_failure() -> None:
    """Otherwise the sum over all workers would become less for a while."""
    works = True

    def make() -> Iterator[Metric]:
        if not works:
            raise LookupError
        yield counter(2)
        yield gauge(3)

    site = Site(one=Shop(make))
    site.page()
    works = False
    assert site.page() == [sample("shop_hits_total", 2, plugin="one")]


def test_collecting_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_families, "MOST_COLLECTED", 3)
    numbers = itertools.count()
    site = Site(
        one=Shop(lambda: (counter(1, f"shop_hits_{next(numbers)}") for _ in itertools.count()))
    )
    for failures in (1, 2):
        assert len(site.page()) == 3
        assert site.failures.counts == {("one", ""): failures}


def test_collect_is_a_plain_method() -> None:
    class Late(Plugin):
        async def collect(self) -> Iterable[Metric]:  # type: ignore[override]
            return ()

    class LateGenerator(Plugin):
        async def collect(self):  # type: ignore[no-untyped-def, override]
            yield gauge(1)

    for cls in (Late, LateGenerator):
        with pytest.raises(
            ValueError, match=r"Late\w*.collect is async; it must be a plain method"
        ):
            Site(one=cls(PluginSettings()))


def test_a_plugin_that_does_not_collect_is_not_asked() -> None:
    site = Site(one=Plugin(PluginSettings()))
    assert site.page() == []
    assert site.collectors._instances == []
