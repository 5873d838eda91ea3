"""Runs nginx and the converted pingap beside each other, in front of one backend."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import tomli
from pingap_convert.formats import write_toml
from pingap_convert.nginx.convert import convert_nginx
from pingap_convert.result import Result
from support.process import Process
from support.waiting import until

NGINX = shutil.which("nginx")

needs_nginx = pytest.mark.skipif(
    NGINX is None and os.environ.get("CI") != "true", reason="needs nginx (Debian: nginx)"
)
"""Where CI runs, its absence is a failure."""

COMPARED = ("location", "content-type", "x-tag", "www-authenticate")


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        shown = {"host", "x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-fixed"}
        fields = sorted(f"{k.lower()}={v}" for k, v in self.headers.items() if k.lower() in shown)
        port = self.server.server_address[1]
        hidden = "\n".join(fields).replace(str(port), "PORT")
        body = f"{self.command} {self.path}\n{hidden}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Hidden", "1")
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def backend() -> Iterator[int]:
    """Run a backend that says what it was asked; yield its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass
class Pair:
    """nginx and pingap, with one configuration."""

    nginx: int
    pingap: int
    result: Result

    def ask(self, port: int, path: str, host: str, method: str, body: bytes) -> tuple[object, ...]:
        """Return what matters of a response."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request(method, path, body or None, {"Host": host} if host else {})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        fields = {name: answer.headers.get(name) for name in COMPARED}
        if answer.status >= 300:  # the pages of both differ
            content, fields["content-type"] = b"", None
        if fields["location"]:
            target = urlsplit(fields["location"])  # nginx writes its own name and port
            if target.hostname in (None, "127.0.0.1", host):
                fields["location"] = target.path
        return answer.status, content, fields

    def compare(self, path: str, host: str = "", method: str = "GET", body: bytes = b"") -> None:
        """Check that both answer alike."""
        expected = self.ask(self.nginx, path, host, method, body)
        assert self.ask(self.pingap, path, host, method, body) == expected, (path, host)


@contextmanager
def side_by_side(folder: Path, text: str) -> Iterator[Pair]:
    """Run both.

    :param text: inside of ``http``, with ``@PORT@`` where nginx listens and ``@FOLDER@``.
    """
    assert NGINX is not None, "nginx is not installed"
    port = free_port()
    user = "user root;\n" if os.geteuid() == 0 else ""  # who may read the folder of a test
    head = f"{user}daemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
    temp = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    filled = text.replace("@PORT@", f"127.0.0.1:{port}").replace("@FOLDER@", str(folder))
    conf = folder / "nginx.conf"
    conf.write_text(f"{head}http {{\n{temp}access_log off;\n{filled}\n}}\n")
    result = Result()
    convert_nginx(conf, result)
    toml = write_toml(result.ordered()).replace(f"127.0.0.1:{port}", "127.0.0.1:0")
    command = [NGINX, "-c", str(conf), "-p", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as nginx:
        try:
            with Process(toml, folder / "pingap") as pingap:
                until(lambda: _listens(port), "nginx does not start")
                (server,) = tomli.loads(toml)["servers"]
                yield Pair(port, pingap.port(server), result)
        finally:
            nginx.terminate()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
