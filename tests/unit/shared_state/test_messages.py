"""Messages between workers, as plugins see them."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from pingap.shared_state import messages
from pingap.shared_state.bus import Bus
from pingap.shared_state.messages import Message, MessageBus

pytestmark = pytest.mark.anyio


async def test_subscribers_get_the_messages_of_their_topics_in_order() -> None:
    bus = MessageBus(Bus())
    with bus.subscribe("cache/") as cache, bus.subscribe("") as every:
        bus.publish("cache/purge", b"\x00\xff")
        bus.publish("other", b"1")
        bus.publish("cache/purge", b"2")
        assert [await anext(cache), await anext(cache)] == [
            Message("cache/purge", b"\x00\xff"),
            Message("cache/purge", b"2"),
        ]
        assert [(await anext(every)).topic for _ in range(3)] == [
            "cache/purge", "other", "cache/purge",
        ]  # fmt: skip


async def test_only_what_is_retained_reaches_later_subscribers() -> None:
    inner = Bus()
    bus = MessageBus(inner)
    bus.publish("a", b"1", retain=True)
    bus.publish("a", b"2", retain=True)
    bus.publish("b", b"3")
    with bus.subscribe("") as later:
        bus.publish("c", b"4")
        assert [await anext(later), await anext(later)] == [Message("a", b"2"), Message("c", b"4")]
    assert len(inner.values) == 1


async def test_a_closed_subscription_ends_and_receives_nothing() -> None:
    bus = MessageBus(Bus())
    subscription = bus.subscribe("")
    found: list[Message] = []

    async def read() -> None:
        found.extend([message async for message in subscription])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await anyio.lowlevel.checkpoint()
        bus.publish("a", b"1")
        await anyio.lowlevel.checkpoint()
        subscription.close()
        bus.publish("a", b"2")
        subscription.close()
    assert found == [Message("a", b"1")]


async def test_a_slow_subscriber_loses_the_oldest_messages() -> None:
    bus = MessageBus(Bus())
    with bus.subscribe("") as slow:
        for number in range(messages.MOST_WAITING + 2):
            bus.publish("a", b"%d" % number)
        assert slow.missed == 2
        assert (await anext(slow)).value == b"2"


@pytest.mark.parametrize(
    ("topic", "value"),
    [("", b""), ("t" * 257, b""), ("t", bytes(messages.LARGEST_VALUE + 1))],
)
async def test_what_is_too_long_is_refused(topic: str, value: bytes) -> None:
    inner = Bus()
    with pytest.raises(ValueError, match="has"):
        MessageBus(inner).publish(topic, value, retain=True)
    assert inner.values == {}
