"""Metrics that plugins have of their own."""

from __future__ import annotations

import pytest

from pingap import Counter, Gauge, Histogram, Plugin, PluginSettings
from pingap.observability.metric_families import PluginMetrics
from pingap.observability.plugin_metrics import MOST_SERIES, Metric
from pingap.proxy.exposition import ServerMetrics


class Keeper(Plugin):
    """Keeps the metrics it is given."""

    category = "keeper"

    def __init__(self, *metrics: Metric) -> None:
        super().__init__(PluginSettings())
        for number, metric in enumerate(metrics):
            setattr(self, f"metric_{number}", metric)


def page(**instances: Plugin) -> list[str]:
    """Return the lines of a page with the metrics of plugin instances."""
    metrics = PluginMetrics()
    for name, plugin in instances.items():
        metrics.add(name, plugin)
    text = ServerMetrics("web", {}, {}, metrics).page().decode()
    return [line for line in text.splitlines() if "shop_" in line]


def test_a_counter_stands_on_the_page_under_its_plugin() -> None:
    first, second = (Counter("shop_refused", "Refused") for _ in range(2))
    first.inc()
    first.inc(2)
    second.value += 1
    assert page(one=Keeper(first), two=Keeper(second)) == [
        "# HELP shop_refused_total Refused",
        "# TYPE shop_refused_total counter",
        'shop_refused_total{plugin="one",server="web"} 3.0',
        'shop_refused_total{plugin="two",server="web"} 1.0',
    ]


def test_a_counter_has_its_ending_once() -> None:
    assert page(one=Keeper(Counter("shop_refused_total", "Refused")))[2:] == [
        'shop_refused_total{plugin="one",server="web"} 0.0'
    ]


def test_labels_make_series() -> None:
    counter = Counter("shop_refused", "Refused", ("reason", "method"))
    counter.labels("long", "GET").inc()
    counter.labels("long", "GET").inc()
    counter.labels("empty", "PUT").inc(0.5)
    assert page(one=Keeper(counter))[2:] == [
        'shop_refused_total{method="GET",plugin="one",reason="long",server="web"} 2.0',
        'shop_refused_total{method="PUT",plugin="one",reason="empty",server="web"} 0.5',
    ]


def test_a_series_may_be_kept_as_an_attribute() -> None:
    refused = Counter("shop_refused", "Refused", labels=("reason",))
    too_long = refused.labels("too long")
    too_long.inc()
    assert page(one=Keeper(too_long, refused, too_long))[2:] == [
        'shop_refused_total{plugin="one",reason="too long",server="web"} 1.0'
    ]


def test_a_histogram_counts_by_bucket() -> None:
    histogram = Histogram("shop_size", "Bytes", buckets=(10, 100))
    for value in (1, 10, 50, 1000):
        histogram.observe(value)
    assert page(one=Keeper(histogram)) == [
        "# HELP shop_size Bytes",
        "# TYPE shop_size histogram",
        'shop_size_bucket{le="10.0",plugin="one",server="web"} 2.0',
        'shop_size_bucket{le="100.0",plugin="one",server="web"} 3.0',
        'shop_size_bucket{le="+Inf",plugin="one",server="web"} 4.0',
        'shop_size_count{plugin="one",server="web"} 4.0',
        'shop_size_sum{plugin="one",server="web"} 1061.0',
    ]


def test_a_histogram_with_labels() -> None:
    histogram = Histogram("shop_size", "Bytes", ("kind",), buckets=(10,))
    histogram.labels("new").observe(3)
    assert 'shop_size_sum{kind="new",plugin="one",server="web"} 3.0' in page(one=Keeper(histogram))


def test_a_gauge_goes_up_and_down() -> None:
    gauge = Gauge("shop_open", "Open")
    gauge.set(5)
    gauge.inc()
    gauge.dec(3)
    assert gauge.value == 3
    assert page(one=Keeper(gauge)) == [
        "# HELP shop_open Open",
        "# TYPE shop_open gauge",
        'shop_open{plugin="one",server="web"} 3.0',
    ]


def test_a_gauge_with_labels() -> None:
    gauge = Gauge("shop_open", "Open", ("kind",), merge="max")
    gauge.labels("new").dec()
    gauge.labels("old")  # which nobody set
    assert page(one=Keeper(gauge))[2:] == ['shop_open{kind="new",plugin="one",server="web"} -1.0']


def test_a_gauge_that_nobody_set_has_a_value_if_it_is_a_sum() -> None:
    line = 'shop_open{plugin="one",server="web"} 0.0'
    assert page(one=Keeper(Gauge("shop_open", "Open")))[2:] == [line]
    assert page(one=Keeper(Gauge("shop_open", "Open", merge="min")))[2:] == []


def test_gauges_are_checked() -> None:
    with pytest.raises(ValueError, match="only names of counters end with _total"):
        Gauge("shop_total", "All")
    with pytest.raises(ValueError, match="merge is 'mean', expected sum or max or min"):
        Gauge("shop_open", "Open", merge="mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="could not convert"):
        Gauge("shop_open", "Open").set("many")  # type: ignore[arg-type]


def test_series_are_bounded() -> None:
    counter = Counter("shop_paths", "Paths", ("path",))
    for number in range(MOST_SERIES + 5):
        counter.labels(str(number)).inc()
    lines = page(one=Keeper(counter))[2:]
    assert len(lines) == MOST_SERIES + 1
    assert 'shop_paths_total{path="(other)",plugin="one",server="web"} 5.0' in lines
    counter.labels("0").inc()
    assert counter.labels("0").value == 2


def test_values_of_clients_are_escaped() -> None:
    counter = Counter("shop_paths", "Paths", ("path",))
    counter.labels('a"} 1\nb').inc()
    assert page(one=Keeper(counter))[2:] == [
        r'shop_paths_total{path="a\"} 1\nb",plugin="one",server="web"} 1.0'
    ]


@pytest.mark.parametrize(
    ("name", "labels", "told"),
    [
        ("shop-refused", (), "'shop-refused' is not a name"),
        ("shop_refused", ("a b",), "'a b' is not a name"),
        ("pingap_http_requests", (), "belong to pingap itself"),
        ("shop_refused", ("plugin",), "the label 'plugin' belongs to pingap itself"),
        ("shop_refused", ("__name__",), "belongs to pingap itself"),
    ],
)
def test_names_are_checked(name: str, labels: tuple[str, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Counter(name, "Refused", labels)


def test_labels_that_are_one_text() -> None:
    with pytest.raises(TypeError, match="labels is a tuple"):
        Counter("shop_refused", "Refused", "reason")


@pytest.mark.parametrize("buckets", [(), (2, 1), (1, 1)])
def test_buckets_are_checked(buckets: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="buckets must ascend"):
        Histogram("shop_size", "Bytes", buckets=buckets)


def test_labels_must_be_used() -> None:
    with pytest.raises(TypeError, match=r"shop_refused has labels: use labels\(reason\)"):
        Counter("shop_refused", "Refused", ("reason",)).inc()
    gauge = Gauge("shop_open", "Open", ("kind",))
    for use in (gauge.inc, gauge.dec, lambda: gauge.set(1), lambda: gauge.value):
        with pytest.raises(TypeError, match=r"shop_open has labels: use labels\(kind\)"):
            use()
    with pytest.raises(TypeError, match=r"shop_size has labels: use labels\(kind\)"):
        Histogram("shop_size", "Bytes", ("kind",)).observe(1)
    with pytest.raises(ValueError, match=r"2 values for its labels \(reason\)"):
        Counter("shop_refused", "Refused", ("reason",)).labels("a", "b")
    with pytest.raises(ValueError, match=r"0 values for its labels \(none\)"):
        Counter("shop_refused", "Refused").labels()
    with pytest.raises(TypeError, match="values of labels are text"):
        Counter("shop_refused", "Refused", ("status",)).labels(404)  # type: ignore[arg-type]


def test_metrics_that_instances_share_are_refused() -> None:
    class Shared(Keeper):
        refused = Counter("shop_refused", "Refused")

    with pytest.raises(ValueError, match=r"Shared.refused: all instances would share this metric"):
        page(one=Shared())
    metric = Counter("shop_refused", "Refused")
    assert page(one=Keeper(metric, metric))  # two names for one thing
    with pytest.raises(ValueError, match="shares the metric shop_refused with plugin one"):
        page(one=Keeper(metric), two=Keeper(metric))


def test_metrics_of_one_name_must_fit() -> None:
    def counter(*labels: str) -> Keeper:
        return Keeper(Counter("shop_refused", "Refused", labels))

    def histogram(bound: float) -> Keeper:
        return Keeper(Histogram("shop_refused", "Refused", buckets=(bound,)))

    for first, second in [
        (counter(), counter("reason")),
        (counter(), histogram(1)),
        (histogram(1), histogram(2)),
        (Keeper(Gauge("shop_refused", "Refused")), counter()),
        (
            Keeper(Gauge("shop_refused", "Refused", merge="max")),
            Keeper(Gauge("shop_refused", "Refused", merge="min")),
        ),
    ]:
        with pytest.raises(ValueError, match="than that of plugin one"):
            page(one=first, two=second)
    with pytest.raises(ValueError, match="two metrics called shop_refused"):
        page(one=Keeper(Counter("shop_refused", "A"), Counter("shop_refused", "B")))
