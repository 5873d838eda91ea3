"""What a configuration says of health reaches the runtime, and follows it from reload to reload."""

from __future__ import annotations

from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.build.runtime import Runtime
from pingap.config import parse
from pingap.observability.sums import add_figures
from pingap.upstream.health.metrics import HealthCounts
from pingap.worker.figures import figures_of, without_gauges


def built(text: str, previous: Runtime | None = None) -> Runtime:
    runtime = build(parse(text), installed_registry(), previous=previous)
    runtime.take_effect()
    return runtime


ONE = '[upstreams.{}]\naddrs = ["127.0.0.1:1", "127.0.0.1:2"]\n{}\n'


def test_upstreams_are_checked_and_watched_as_configured() -> None:
    text = ONE.format("default", "") + ONE.format("none", 'health_check = "none"')
    text += ONE.format(
        "eager", 'health_check = "http://x?check_frequency=1s"\npassive_failures = 1'
    )
    upstreams = built(text).upstreams
    assert [one.health_check and one.health_check.check_frequency for one in upstreams.values()] == [10, None, 1]  # fmt: skip
    assert [bool(one.observers) for one in upstreams.values()] == [False, False, True]
    assert upstreams["eager"].observers == (upstreams["eager"].ejection,)


def test_a_reload_goes_on_with_what_is_known() -> None:
    kept, passive = ONE.format("kept", ""), "passive_failures = {}"
    first = built(kept + ONE.format("changed", passive.format(1)))
    first.bus.publish("health:kept:127.0.0.1:1", "down")
    first.bus.publish("health:changed:127.0.0.1:1", "down")
    second = built(kept + ONE.format("changed", passive.format(2)), first)
    assert second.health is first.health
    assert second.upstreams["kept"] is first.upstreams["kept"]
    changed = second.upstreams["changed"]
    assert changed is not first.upstreams["changed"]
    assert [peer.is_available for peer in changed.peers] == [False, True]
    second.bus.publish("health:changed:127.0.0.1:1", "up")
    assert [peer.is_available for peer in changed.peers] == [True, True]


def test_the_numbers_of_workers_are_added() -> None:
    leader, other = built(ONE.format("a", "")), built(ONE.format("a", ""))
    leader.health.flips["a", "127.0.0.1:1", "down"] = 2
    ended = without_gauges(figures_of(leader))
    total = HealthCounts.of(add_figures([ended, figures_of(leader), figures_of(other)])["health"])
    assert total.flips == {("a", "127.0.0.1:1", "down"): 4}
    counts = HealthCounts()
    counts.healthy["a", "127.0.0.1:1"] = 0
    assert HealthCounts.of(counts.figures()).healthy == {("a", "127.0.0.1:1"): 0}
