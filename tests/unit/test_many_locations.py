"""Thousands of locations: no turn of a worker's event loop grows with their number."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import anyio
import pytest

from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.build.runtime import Runtime
from pingap.config import parse
from pingap.observability.sums import add_figures, entries_of, no_figures, put
from pingap.proxy.runtime import LocationRuntime
from pingap.worker import reporter
from pingap.worker.channel import Channel, pair
from pingap.worker.dismantle import dismantle
from pingap.worker.figures import ChangedFigures, figures_of

COUNT = 300
TOML = "\n".join(
    [
        '[upstreams.u]\naddrs = ["127.0.0.1:9"]\nhealth_check = "none"\npassive_failures = 3',
        *(
            f'[locations.l{i}]\nhost = "h{i}.example"\nupstream = "u"\nplugins = ["pingap:requestId"]'
            for i in range(COUNT)
        ),
        f'[servers.web]\naddr = "127.0.0.1:0"\nlocations = {[f"l{i}" for i in range(COUNT)]}',
    ]
)


@pytest.fixture
def runtime() -> Runtime:
    return _built()


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _built(previous: Runtime | None = None) -> Runtime:
    registry = installed_registry() if previous is None else previous.registry
    runtime = build(parse(TOML), registry, previous=previous)
    runtime.take_effect()
    return runtime


def _alive() -> int:
    return sum(type(one) is LocationRuntime for one in gc.get_objects())


def test_locations_with_the_same_plugins_share_their_chains(runtime: Runtime) -> None:
    assert len({id(location.chains) for location in runtime.locations.values()}) == 1


@pytest.mark.usefixtures("_no_collector")
def test_building_makes_no_reference_cycles(runtime: Runtime) -> None:
    gc.collect()
    _built(runtime)
    assert gc.collect() < COUNT


@pytest.mark.anyio
@pytest.mark.usefixtures("_no_collector")
async def test_the_old_graph_is_freed_without_the_collector() -> None:
    before = _alive()
    old = _built()
    new = _built(old)
    assert _alive() == before + 2 * COUNT
    await dismantle(old)
    del old
    assert _alive() == before + len(new.locations)


def test_only_changes_are_reported(runtime: Runtime) -> None:
    changes = ChangedFigures()
    first = [entry for entry in changes.since_last(runtime) if entry]
    assert not any(path[0] == "locations" for path, _ in first)  # nothing was counted there
    assert not any(changes.since_last(runtime))
    runtime.locations["l7"].stats.processing = 1
    runtime.plugin_failures.counts["p", "l7"] = 2
    changed = [path for path, _ in filter(None, changes.since_last(runtime))]
    assert changed == [["locations", "l7"], ["failures", "p", "l7"]]


def test_figures_survive_being_sent_in_parts(runtime: Runtime) -> None:
    runtime.locations["l7"].stats.processing = 1
    figures = figures_of(runtime)
    again = no_figures()
    for entry in entries_of(figures):
        put(again, [entry])
    assert again == figures
    assert add_figures([figures, figures])["locations"]["l7"]["processing"] == 2


@pytest.mark.anyio
async def test_a_report_is_sent_in_slices(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "SLICE_SECONDS", -1.0)
    for location in runtime.locations.values():
        location.stats.processing = 1
    ours, theirs = pair()
    worker, supervisor = Channel(ours), Channel(theirs)
    figures, messages = no_figures(), 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await reporter.Reporter(worker, lambda: runtime).report()
        worker.send("end")
        while (message := await supervisor.receive()) is not None and message["kind"] != "end":
            assert message["replaces"] == (messages == 0)
            put(figures, message["entries"])
            messages += 1
        worker.close()
    supervisor.close()
    assert messages > COUNT
    assert figures == figures_of(runtime)
