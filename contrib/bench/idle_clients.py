"""Opens keep-alive connections, sends one request on each, and holds them: see ``resources.py``.

Prints ``ready`` when all were answered, and ends when its standard input does.
"""

from __future__ import annotations

import resource
import socket
import sys


def main(port: int, count: int) -> None:
    """Hold this many connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + 64, hard), hard))
    held = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        sock.sendall(b"GET /ping HTTP/1.1\r\nHost: bench\r\n\r\n")
        if not sock.recv(4096).startswith(b"HTTP/1.1 200"):
            raise SystemExit("a connection was not answered")
        held.append(sock)
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
