"""An origin in a process of its own, that can be killed, frozen and started again on the same port."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

_PROGRAM = """
import asyncio, socket, sys

async def serve(reader, writer):
    try:
        while True:
            await reader.readuntil(b"\\r\\n\\r\\n")
            await asyncio.sleep(0.001)
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n" + sys.argv[2].encode()[:2])
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), reuse_address=True)
    print("ready", flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


class OriginProcess:
    """Answers every request with its name.

    :param name: two characters.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", 0))
            self.port: int = sock.getsockname()[1]
        self.addr = f"127.0.0.1:{self.port}"
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(self.port), self.name], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    def kill(self) -> None:
        """End it without a word to anybody."""
        self.process.kill()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def restart(self) -> None:
        """Start it again, after ``kill``."""
        self.process = self._start()

    def freeze(self) -> None:
        """Let it do nothing, with its connections open."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> OriginProcess:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.process.returncode is None:
            self.kill()
