"""The pools of connections that a client for side calls keeps."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from pingap import HTTPClient
from pingap.client.pools import MOST_POOLS
from pingap.testing import Served, Upstream


@pytest.fixture
def sockets(tmp_path: Path) -> list[Path]:
    """More paths of one Unix socket than there may be pools."""
    names = [tmp_path / f"{number}.sock" for number in range(MOST_POOLS + 3)]
    for one in names:
        one.symlink_to("real.sock")
    return names


def test_pools_are_bounded(sockets: list[Path]) -> None:
    async def use() -> None:
        client = HTTPClient()
        for path in sockets:
            await client.request("GET", "http://host/", uds=path)
        assert len(client._pools.here()) == MOST_POOLS
        first, *_, last = sockets
        await client.request("GET", "http://host/", uds=last)
        assert origin.connections == len(sockets)  # it was kept
        await client.request("GET", "http://host/", uds=first)
        assert origin.connections == len(sockets) + 1  # it was not
        await client.close()
        assert len(client._pools.here()) == 0

    with Upstream(path=str(sockets[0].with_name("real.sock"))) as origin:
        anyio.run(use)


def test_pools_in_use_stay(sockets: list[Path]) -> None:
    def script(served: Served) -> None:
        while served.read_request():
            served.respond(b"x" * 1000)

    async def use() -> None:
        client = HTTPClient()
        first, *others = sockets
        async with client.stream("GET", "http://host/", uds=first) as answer:
            for path in others:
                await client.request("GET", "http://host/", uds=path)
            assert len(client._pools.here()) == MOST_POOLS
            assert len(await answer.read()) == 1000
        await client.close()

    with Upstream(script, path=str(sockets[0].with_name("real.sock"))):
        anyio.run(use)


def test_event_loops_have_their_own(upstream: Upstream) -> None:
    client = HTTPClient()

    async def use() -> int:
        for _ in range(2):
            await client.request("GET", f"http://{upstream.addr}/")
        return len(client._pools._by_loop)

    async def use_and_close() -> int:
        found = await use()
        await client.close()
        return found

    assert [anyio.run(use_and_close) for _ in range(3)] == [1, 1, 1]
    assert upstream.connections == 3
