"""Notifications that wait for the worker that leads, and what calls their handlers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from pingap import Notification
from pingap.observability.notifications import (
    LARGEST,
    MOST_WAITING,
    WaitingNotifications,
    publish,
)
from pingap.observability.plugin_failures import PluginFailures
from pingap.plugins.process_hooks import Handler
from pingap.shared_state.bus import Bus
from pingap.worker import notifying
from pingap.worker.notifying import NotificationService


def event(message: str = "it happened", **others: Any) -> Notification:
    return Notification("test", message, **others)


def connected() -> tuple[Bus, Bus]:
    """Return the buses of two processes that tell each other."""
    one, other = Bus(), Bus()
    one.send = lambda key, value, retain: other.deliver(key, value, retain)
    other.send = lambda key, value, retain: one.deliver(key, value, retain)
    return one, other


def test_what_one_takes_does_not_wait_in_another() -> None:
    here, there = connected()
    first, second = WaitingNotifications(here), WaitingNotifications(there)
    for number in range(3):
        publish(here, event(str(number)))
    assert len(first) == len(second) == 3
    assert (one := second.take()) is not None
    assert one.message == "0"
    assert len(first) == len(second) == len(here.values) == 2
    assert [one.message for _ in range(2) if (one := first.take()) is not None] == ["1", "2"]
    assert first.take() is second.take() is None
    assert not here.values
    assert not there.values


def test_a_later_process_knows_what_waits() -> None:
    bus = Bus()
    publish(bus, event("before"))
    waiting = WaitingNotifications(bus)
    found = waiting.take()
    assert found is not None
    assert found.message == "before"


def test_all_of_an_event_arrives() -> None:
    bus = Bus()
    sent = event("m \N{SNOWMAN}", level="error", detail="d", time=3.5, fields={"upstream": "a"})
    publish(bus, sent)
    assert WaitingNotifications(bus).take() == sent


def test_the_oldest_is_dropped_and_counted() -> None:
    bus = Bus()
    waiting = WaitingNotifications(bus)
    for number in range(MOST_WAITING + 3):
        publish(bus, event(str(number)))
    assert len(waiting) == len(bus.values) == MOST_WAITING
    assert waiting.dropped == 3
    found = waiting.take()
    assert found is not None
    assert found.message == "3"


@pytest.mark.parametrize("letter", ["x", "\N{SNOWMAN}", "\U0001f600", '"'])
def test_a_long_detail_is_cut(letter: str) -> None:
    bus = Bus()
    publish(bus, event(detail=letter * LARGEST))
    (text,) = bus.values.values()
    assert len(text) <= LARGEST
    found = WaitingNotifications(bus).take()
    assert found is not None
    assert len(found.detail) > 1000
    assert set(found.detail) == {letter}


def test_what_is_too_large_without_detail_is_refused() -> None:
    bus = Bus()
    with pytest.raises(ValueError, match="at most 65536 bytes"):
        publish(bus, event("x" * LARGEST))
    assert not bus.values


@pytest.mark.parametrize(("kind", "level"), [("", "info"), ("test", "fatal")])
def test_events_are_checked(kind: str, level: Any) -> None:
    with pytest.raises(ValueError, match=r"kind|fatal"):
        Notification(kind, "", level)


def handler(call: Callable[[Notification], object], name: str = "one") -> Handler:
    return Handler(call, name, "pingap_notification")


async def handle(failures: PluginFailures, *handlers: Handler, events: int = 1) -> None:
    """Let a leader handle events; return when it has."""
    bus = Bus()
    service = NotificationService(bus, lambda: handlers, failures)
    done = anyio.Event()
    last = handler(lambda one: done.set() if one.message == str(events - 1) else None, "last")
    handlers = (*handlers, last)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.run)
        service.lead()
        for number in range(events):
            publish(bus, event(str(number)))
        with anyio.fail_after(5):
            await done.wait()
            await service.finish()
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_events_are_handled_one_after_the_other() -> None:
    order: list[str] = []

    async def slow(one: Notification) -> None:
        order.append(f"begin {one.message}")
        await anyio.sleep(0.01)
        order.append(f"end {one.message}")

    failures = PluginFailures()
    await handle(failures, handler(slow), events=2)
    assert order == ["begin 0", "end 0", "begin 1", "end 1"]
    assert not failures.counts


@pytest.mark.anyio
@pytest.mark.parametrize("error", [OSError("gone"), SystemExit(3), anyio.get_cancelled_exc_class])
async def test_what_handlers_raise_is_counted(error: Any) -> None:
    raised = error if isinstance(error, BaseException) else error()()

    def fails(one: Notification) -> None:
        raise raised

    async def fails_later(one: Notification) -> None:
        await anyio.lowlevel.checkpoint()
        raise raised

    failures = PluginFailures()
    await handle(failures, handler(fails, "a"), handler(fails_later, "b"), events=2)
    assert failures.counts == {("a", ""): 2, ("b", ""): 2}


@pytest.mark.anyio
async def test_a_handler_that_takes_too_long_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notifying, "HANDLER_SECONDS", 0.01)

    async def hangs(one: Notification) -> None:
        await anyio.sleep_forever()

    failures = PluginFailures()
    await handle(failures, handler(hangs), events=2)
    assert failures.counts == {("one", ""): 2}
    assert "it took longer than" in caplog.text


@pytest.mark.anyio
async def test_a_worker_that_does_not_lead_leaves_events_alone() -> None:
    bus = Bus()
    seen: list[Notification] = []
    service = NotificationService(bus, lambda: [handler(seen.append)], PluginFailures())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.run)
        await anyio.wait_all_tasks_blocked()
        publish(bus, event())
        await anyio.wait_all_tasks_blocked()
        assert not seen
        service.lead()
        await anyio.wait_all_tasks_blocked()
        assert len(seen) == 1
        tasks.cancel_scope.cancel()
