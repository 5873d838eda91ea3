"""One direction of a WebSocket whose messages are read: how much of it is passed on when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from pingap.http.headers import Headers
from pingap.plugins.chains import Owner
from pingap.protocol.websocket_frames import (
    NORMAL,
    TEXT,
    Close,
    MessageEncoder,
    WebSocketError,
    WebSocketMessage,
)
from pingap.proxy.filter_stages import Holder
from pingap.proxy.websocket_direction import Direction
from pingap.wire.backlog import SECONDS, Backlog
from pingap.wire.write_batch import WriteBatch

if TYPE_CHECKING:
    from pingap.proxy.filter_stages import Pressure, Stage


pytestmark = pytest.mark.anyio


class Site:
    """All around a direction: the session, what is behind it, and the exchange.

    :param busy: seconds that a message takes.
    """

    def __init__(self, busy: float = 2 * SECONDS) -> None:
        self.busy = busy
        self.filters: list[Stage] = []
        self.got: list[str] = []
        self.turns: list[int] = []
        self.is_closing = False
        self.is_waiting = self.is_ended = False
        self.room = True
        self.woken = 0
        owner = cast(Owner, SimpleNamespace(name="test"))
        backlog = Backlog(WriteBatch())
        holder = cast(Holder, self)
        self.direction = Direction(self, holder, owner, 1000, None, backlog, from_client=False)
        self.direction.link(self, cast("Pressure", self))
        self.turn = 0

    def count_turns(self) -> None:
        self.turn += 1
        asyncio.get_running_loop().call_soon(self.count_turns)

    # The session.

    def on_chunk(self, direction: Direction) -> None:
        pass

    def pass_on(self, message: WebSocketMessage, direction: Direction) -> None:
        until = asyncio.get_running_loop().time() + self.busy
        while asyncio.get_running_loop().time() < until:
            pass
        self.got.append(str(message.data))
        self.turns.append(self.turn)
        direction.write(b"x")

    def on_close(self, close: Close, direction: Direction) -> None:
        self.got.append(f"close {close.code}")

    def on_violation(self, error: WebSocketError, direction: Direction) -> None:
        self.got.append(error.reason)

    def settle(self) -> None:
        if self.direction.is_behind:
            self.on_full()

    def on_full(self) -> None:
        self.is_waiting = self.direction.hold(not self.room)

    def send_now(self, data: bytes, direction: Direction) -> None:
        raise AssertionError("nothing is sent out of turn")

    # What is behind it, and the exchange.

    def feed(self, chunk: bytes) -> None:
        self.got.append(f"{len(chunk)} out")

    def flush(self) -> None:
        raise AssertionError("nobody flushes messages")

    def end(self, trailers: Headers) -> None:
        self.is_ended = True

    def wake(self) -> None:
        self.woken += 1


def texts(count: int) -> bytes:
    encoder = MessageEncoder(masked=False)
    return b"".join(encoder.message(WebSocketMessage(str(one))) for one in range(count))


def passed(count: int) -> list[str]:
    return [text for one in range(count) for text in (str(one), "1 out")]


async def until(condition: Callable[[], bool]) -> None:
    """Let turns of the event loop pass until something is so."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not happen")


async def test_a_message_a_turn_when_there_is_no_time() -> None:
    site = Site()
    site.count_turns()
    site.direction.feed(texts(6))
    assert site.direction.is_behind
    assert site.is_waiting
    await until(lambda: not site.direction.is_behind)
    assert [one for one in site.got if "out" not in one] == list("012345")
    assert (
        max(site.turns.count(one) for one in site.turns) <= 2
    )  # (the clock begins after the first)
    assert not site.is_waiting


async def test_all_at_once_when_there_is_time() -> None:
    site = Site(0)
    site.direction.feed(texts(3) + b"\x81")
    assert site.got == ["0", "1", "2", "3 out"]
    assert not site.direction.is_behind


async def test_the_end_waits_for_what_is_left_over() -> None:
    site = Site()
    site.direction.feed(texts(4))
    site.direction.end(Headers())
    assert not site.is_ended
    await until(lambda: site.is_ended)
    assert site.got[-2:] == ["3", "1 out"]
    assert site.woken == 1


async def test_nothing_is_passed_on_without_room() -> None:
    site = Site()
    site.direction.feed(texts(5))
    site.room = False
    site.on_full()
    before = list(site.got)
    for _ in range(10):
        await asyncio.sleep(0)
    assert site.got == before
    site.direction.feed(texts(1))  # what was under way joins the others
    site.room = True
    site.on_full()
    await until(lambda: not site.direction.is_behind)
    assert [one for one in site.got if "out" not in one] == list("012340")


async def test_what_is_left_over_of_a_lost_upstream_is_passed_on_at_once() -> None:
    site = Site()
    site.direction.feed(texts(5))
    assert site.direction.is_behind
    site.busy = 0
    site.direction.hurry()
    assert [one for one in site.got if "out" not in one] == list("01234")
    assert not site.direction.is_behind
    site.direction.hurry()  # nothing more


@pytest.mark.parametrize("closes", [True, False])
async def test_nothing_is_passed_on_after_the_end(closes: bool) -> None:
    site = Site()
    site.direction.feed(texts(5))
    before = list(site.got)
    if closes:  # both sides were closed meanwhile: what came is dropped
        site.is_closing = True
    else:
        site.direction.session = None
    await asyncio.sleep(SECONDS)
    for _ in range(5):
        await asyncio.sleep(0)
    assert site.got == before


async def test_nothing_is_left_over_behind_a_close() -> None:
    site = Site()
    encoder = MessageEncoder(masked=False)
    close = encoder.close(Close(NORMAL, ""))
    site.direction.feed(texts(1) + close + bytes((0x80 | TEXT, 0)))
    assert site.got == ["0", "close 1000", "1 out"]
    assert not site.direction.is_behind
