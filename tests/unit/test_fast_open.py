"""Beginning a connection with TCP Fast Open."""

from __future__ import annotations

import asyncio
import gc
import math
import socket
import sys
from contextlib import suppress

import anyio
import pytest

from pingap.upstream.connections import fast_open
from pingap.wire.tcp import TcpOptions

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it for clients")


class Hello(asyncio.Protocol):
    """Says hello, and waits for what comes back."""

    def __init__(self) -> None:
        self.received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(b"hello")

    def data_received(self, data: bytes) -> None:
        self.received.set_result(data)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("uvloop", [False, True])
def test_either_family_on_either_loop(host: str, uvloop: bool) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        listener.settimeout(5)

        async def run() -> None:
            protocol = Hello()
            address = listener.getsockname()[:2]
            options = TcpOptions(receive_buffer=8192)
            await fast_open.connect(protocol, address, options, math.inf, lambda: None)
            accepted, _ = await anyio.to_thread.run_sync(listener.accept)
            with accepted:
                assert accepted.recv(10) == b"hello"
                accepted.sendall(b"answer")
                assert await asyncio.wait_for(protocol.received, 5) == b"answer"
            sock = protocol.transport.get_extra_info("socket")
            assert fast_open.has_connected(sock)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * 8192
            protocol.transport.close()

        anyio.run(run, backend_options={"use_uvloop": uvloop})


@pytest.mark.parametrize("uvloop", [False, True])
@pytest.mark.parametrize("turns", range(8))
def test_who_is_cancelled_leaves_nothing_behind(uvloop: bool, turns: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        async def run() -> None:
            protocol = Hello()
            making = asyncio.create_task(
                fast_open.connect(
                    protocol, listener.getsockname(), TcpOptions(), math.inf, lambda: None
                )
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            making.cancel()
            with suppress(asyncio.CancelledError):
                await making
                protocol.transport.abort()  # it was quicker
            for _ in range(5):
                await asyncio.sleep(0)

        anyio.run(run, backend_options={"use_uvloop": uvloop})
        gc.collect()  # a socket that is still open is told of now, and so is one closed twice
        listener.setblocking(False)
        with suppress(BlockingIOError):  # (it may not have come so far)
            accepted, _ = listener.accept()
            with accepted:
                accepted.settimeout(5)
                with suppress(ConnectionResetError):
                    while accepted.recv(10):
                        pass
