"""Metrics of plugins in several workers: sent as plain data, merged, and those of dead workers."""

from __future__ import annotations

import json
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from pingap import Counter, Gauge, Histogram, Metric, Plugin, PluginSettings
from pingap.observability.metric_families import PluginMetrics
from pingap.observability.sums import Figures, add_figures, entries_of, no_figures, put
from pingap.proxy.exposition import ServerMetrics
from pingap.worker.figures import without_gauges


class Keeper(Plugin):
    category = "keeper"

    def __init__(self, *metrics: Metric) -> None:
        super().__init__(PluginSettings())
        for number, metric in enumerate(metrics):
            setattr(self, f"metric_{number}", metric)


def kept(*metrics: Metric, instance: str = "one") -> PluginMetrics:
    """Return the metrics of a worker whose plugin keeps these."""
    found = PluginMetrics()
    found.add(instance, Keeper(*metrics))
    return found


def collected(*metrics: Metric, instance: str = "one") -> PluginMetrics:
    """Return the metrics of a worker whose plugin has collected these."""
    found = PluginMetrics()
    found.let_collect(instance)
    found.replace(instance, metrics)
    return found


def sent(metrics: PluginMetrics) -> Figures:
    """Return the figures of a worker as another process receives them."""
    entries = json.loads(json.dumps([[list(path), part] for path, part in metrics.figures()]))
    figures = no_figures()
    put(figures, entries)
    return figures


def page(own: PluginMetrics, *others: Figures) -> dict[str, float]:
    """Return the samples of a page, without the labels that all have."""
    figures = no_figures()
    put(figures, json.loads(json.dumps(list(entries_of(add_figures(others))))))
    text = ServerMetrics("web", {}, {}, own.plus(figures)).page().decode()
    found = {}
    for line in text.splitlines():
        if line.startswith("shop_"):
            name, _, value = line.rpartition(" ")
            name = (
                name.replace('plugin="one",server="web"', "").replace(",}", "}").replace("{}", "")
            )
            found[name] = float(value)
    return found


def gauge(value: float | None, merge: str = "sum") -> Gauge:
    made = Gauge("shop_open", "Open", merge=merge)  # type: ignore[arg-type]
    if value is not None:
        made.set(value)
    return made


def counter(value: float, description: str = "Hits") -> Counter:
    made = Counter("shop_hits", description)
    made.inc(value)
    return made


NUMBERS = st.lists(st.integers(-1000, 1000), min_size=1, max_size=5)


@given(NUMBERS)
def test_gauges_of_workers_are_merged(values: list[int]) -> None:
    for merge, total in (("sum", sum), ("max", max), ("min", min)):
        own, *others = (kept(gauge(value, merge)) for value in values)
        assert page(own, *map(sent, others)) == {"shop_open": total(values)}


def test_a_worker_that_has_not_set_a_gauge_does_not_count() -> None:
    for own, other in ((None, -5), (-5, None)):
        assert page(kept(gauge(own, "max")), sent(kept(gauge(other, "max")))) == {"shop_open": -5}
    assert page(kept(gauge(None, "max")), sent(kept(gauge(None, "max")))) == {}
    assert page(kept(gauge(None)), sent(kept(gauge(2)))) == {"shop_open": 2}


def test_labels_are_merged_one_by_one() -> None:
    def gauges(**values: float) -> PluginMetrics:
        made = Gauge("shop_open", "Open", ("kind",), merge="max")
        for kind, value in values.items():
            made.labels(kind).set(value)
        return kept(made)

    assert page(gauges(a=1, b=5), sent(gauges(b=2, c=-3))) == {
        'shop_open{kind="a"}': 1,
        'shop_open{kind="b"}': 5,
        'shop_open{kind="c"}': -3,
    }


def test_a_dead_worker_counts_with_its_counters_only() -> None:
    for make in (kept, collected):
        histogram = Histogram("shop_ages", "Ages", buckets=(1,))
        histogram.observe(3)
        dead = without_gauges(sent(make(gauge(5), counter(7), histogram)))
        living = sent(make(gauge(1), counter(2)))
        empty = Histogram("shop_ages", "Ages", buckets=(1,))
        found = page(make(gauge(10), counter(20), empty), dead, living)
        assert (found["shop_open"], found["shop_hits_total"], found["shop_ages_sum"]) == (11, 29, 3)


def test_a_dead_worker_does_not_hold_a_maximum() -> None:
    dead = without_gauges(sent(kept(gauge(100, "max"))))
    assert page(kept(gauge(1, "max")), dead, sent(kept(gauge(2, "max")))) == {"shop_open": 2}


def test_what_only_another_worker_collects_is_on_the_page() -> None:
    own = collected(gauge(1))
    other = sent(collected(gauge(2), counter(3)))
    assert page(own, other) == {"shop_open": 3, "shop_hits_total": 3}
    assert page(collected(), other) == {"shop_open": 2, "shop_hits_total": 3}
    assert page(kept(gauge(1)), other) == {"shop_open": 3}  # of an earlier configuration
    assert page(collected(instance="two"), other) == {}


def test_figures_of_an_earlier_configuration_fit_or_are_left_out() -> None:
    """A reload may change buckets, labels and types; figures of workers that are dead stay."""

    def labelled(*names: str) -> Counter:
        made = Counter("shop_hits", "Hits", names)
        made.labels(*names).inc()
        return made

    def sizes(*buckets: float) -> Histogram:
        made = Histogram("shop_hits", "Hits", buckets=buckets)
        made.observe(1)
        return made

    metrics: list[Metric] = [
        counter(1),
        labelled("kind"),
        labelled("kind", "reason"),
        sizes(1),
        sizes(1, 2),
        Gauge("shop_hits", "Hits"),
        Gauge("shop_hits", "Hits", merge="max"),
    ]
    for make in (kept, collected):
        every = add_figures(sent(make(metric)) for metric in metrics)
        for metric in metrics:
            twice = page(make(metric), sent(make(metric)))
            assert page(make(metric), every) == twice
    assert page(kept(counter(1)), sent(kept(counter(2, "Other words")))) == {"shop_hits_total": 3}


def test_what_is_sent_is_not_what_the_worker_has() -> None:
    """A page is made in a thread, of copies."""
    own = gauge(1)
    metrics = kept(own, counter(1))
    total = metrics.plus(no_figures())
    own.set(2)
    text = ServerMetrics("web", {}, {}, total).page().decode()
    assert 'shop_open{plugin="one",server="web"} 1.0' in text


def test_adding_changes_none_of_the_parts() -> None:
    histogram = Histogram("shop_ages", "Ages", buckets=(1,))
    histogram.observe(1)
    parts: Iterable[Figures] = [sent(kept(gauge(1), counter(1), histogram)) for _ in range(3)]
    before = json.dumps(list(parts))
    add_figures(parts)
    assert json.dumps(list(parts)) == before
