"""Values that workers tell each other: those who come later, and those that nobody needs any more."""

from __future__ import annotations

import pytest

from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.build.runtime import Runtime
from pingap.config import parse
from pingap.shared_state import bus as bus_module
from pingap.shared_state.bus import Bus

UPSTREAM = """
[upstreams.{name}]
addrs = ["127.0.0.1:1", "127.0.0.1:2"]
passive_failures = 1
circuit_break_max_consecutive_failures = {failures}
"""


def reloaded(runtime: Runtime, toml: str) -> Runtime:
    new = build(parse(toml), runtime.registry, previous=runtime)
    new.take_effect()
    runtime.release([new])
    return new


def test_a_subscriber_that_fails_costs_nobody_a_value(caplog: pytest.LogCaptureFixture) -> None:
    def fail(key: str, value: str) -> None:
        raise ZeroDivisionError

    bus, told = Bus(), list[str]()
    bus.publish("a", "0")
    bus.subscribe("", fail)
    bus.subscribe("", lambda key, value: told.append(value))
    bus.publish("a", "1")
    assert told == ["0", "1"]
    assert "a subscriber of the bus failed at the key 'a'" in caplog.text


def test_the_oldest_value_is_forgotten() -> None:
    bus = Bus()
    bus.publish("other:a", "stays")
    for number in range(bus_module.MOST_VALUES):
        bus.publish(f"message:{number}", "a")
    bus.publish("message:0", "b")
    bus.publish("message:new", "c")
    assert len(bus.values) == bus_module.MOST_VALUES + 1
    assert "message:1" not in bus.values
    assert (bus.values["message:0"], bus.values["message:new"]) == ("b", "c")
    assert bus.values["other:a"] == "stays"  # what one kind has too much of costs no other
    bus.keep(lambda key: key.startswith("other:"))
    for number in range(bus_module.MOST_VALUES):
        bus.publish(f"message:{number}", "d")
    assert len(bus.values) == bus_module.MOST_VALUES + 1


def test_values_of_upstreams_that_are_gone_are_forgotten() -> None:
    both = UPSTREAM.format(name="a:b", failures=2) + UPSTREAM.format(name="c", failures=2)
    both = both.replace("upstreams.a:b", 'upstreams."a:b"')
    runtime = build(parse(both), installed_registry())
    keys = [
        f"{kind}:{name}:127.0.0.1:1"
        for kind in ("health", "ejected", "breaker")
        for name in ("a%3Ab", "c")
    ]
    for key in keys:
        runtime.bus.deliver(key, "0 1")
    runtime.bus.deliver("another", "kind")
    runtime = reloaded(runtime, both.replace("failures = 2", "failures = 3"))
    assert set(runtime.bus.values) == {*keys, "another"}
    reloaded(runtime, UPSTREAM.format(name="c", failures=3))
    assert set(runtime.bus.values) == {*(key for key in keys if ":c:" in key), "another"}


def test_reloads_leave_no_subscribers_behind() -> None:
    runtime = build(parse(UPSTREAM.format(name="a", failures=2)), installed_registry())
    before = len(runtime.bus._subscribers)
    for number in range(100):
        runtime = reloaded(runtime, UPSTREAM.format(name="a", failures=2 + number % 2))
        assert len(runtime.upstreams["a"].observers) == 2
    assert len(runtime.bus._subscribers) == before
