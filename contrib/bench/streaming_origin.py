"""An origin for large bodies: generates downloads and discards uploads.

``GET /<bytes>`` answers with this many bytes; every other request is read and answered with ``ok``.
Started by ``resources.py``.
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK = bytes(256 * 1024)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send as many bytes as the path says."""
        left = int(self.path.strip("/") or 0)
        self._head(left)
        while left > 0:
            left -= self.wfile.write(CHUNK[:left])

    def do_POST(self) -> None:
        """Read and discard the body."""
        left = int(self.headers["Content-Length"])
        while left > 0 and (data := self.rfile.read1(min(left, len(CHUNK)))):
            left -= len(data)
        self._head(2)
        self.wfile.write(b"ok")

    def _head(self, length: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in http.server
        """Log nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
