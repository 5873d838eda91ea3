"""Who gets a stream of which connection: requests that come while a connection is made."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pingap.http.errors import UpstreamError
from pingap.upstream.connections.http2_pool import SharedConnections
from pingap.upstream.timeouts import Timeouts


class Connection:
    """What the pool asks of a connection."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.listed = False

    def promise(self) -> Connection:
        self.free -= 1
        return self


class Making:
    """Makes connections, each when it is told to."""

    def __init__(self) -> None:
        self.made: list[asyncio.Future[Any]] = []

    async def __call__(self) -> Any:
        self.made.append(asyncio.get_running_loop().create_future())
        return await self.made[-1]


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_requests_wait_for_the_same_connection() -> None:
    async def run() -> None:
        shared, making = SharedConnections(), Making()
        tasks = [asyncio.create_task(shared.connect(making, 3, Timeouts())) for _ in range(7)]
        await _settle()
        assert len(making.made) == 3
        connections = [Connection(3) for _ in making.made]
        for future, connection in zip(making.made, connections, strict=True):
            future.set_result(connection)
        given = await asyncio.gather(*tasks)
        assert sorted(given.count(one) for one in connections) == [1, 3, 3]
        assert "0 being made" in repr(shared)

    asyncio.run(run())


def test_all_that_wait_learn_that_it_failed() -> None:
    async def run() -> None:
        shared, making = SharedConnections(), Making()
        tasks = [asyncio.create_task(shared.connect(making, 9, Timeouts())) for _ in range(3)]
        await _settle()
        (future,) = making.made
        future.set_exception(UpstreamError("refused", connecting=True, status=504))
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(error) for error in errors] == ["refused"] * 3
        assert all(isinstance(one, UpstreamError) and one.connecting for one in errors)
        assert len(set(map(id, errors))) == 3

    asyncio.run(run())


def test_another_goes_on_if_the_first_one_leaves() -> None:
    async def run() -> None:
        shared, making = SharedConnections(), Making()
        first, second = (
            asyncio.create_task(shared.connect(making, 9, Timeouts())) for _ in range(2)
        )
        await _settle()
        first.cancel()
        await _settle()
        assert len(making.made) == 2
        connection = Connection(9)
        making.made[1].set_result(connection)
        assert await second is connection
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(run())


def test_a_connection_with_fewer_streams_than_hoped_for() -> None:
    async def run() -> None:
        shared, making = SharedConnections(), Making()
        tasks = [asyncio.create_task(shared.connect(making, 9, Timeouts())) for _ in range(3)]
        await _settle()
        making.made[0].set_result(Connection(2))
        await _settle()
        assert len(making.made) == 2
        making.made[1].set_result(Connection(2))
        await asyncio.gather(*tasks)

    asyncio.run(run())


def test_requests_with_other_limits_do_not_wait_for_the_same_connection() -> None:
    async def run() -> None:
        shared, making = SharedConnections(), Making()
        limits = (Timeouts(), Timeouts(connect=1.0), Timeouts(connect=1.0))
        patient, *hurried = (asyncio.create_task(shared.connect(making, 9, one)) for one in limits)
        await _settle()
        assert len(making.made) == 2
        making.made[1].set_exception(UpstreamError("too late", connecting=True, status=504))
        connection = Connection(9)
        making.made[0].set_result(connection)
        assert await patient is connection
        errors = await asyncio.gather(*hurried, return_exceptions=True)
        assert [str(error) for error in errors] == ["too late"] * 2

    asyncio.run(run())
