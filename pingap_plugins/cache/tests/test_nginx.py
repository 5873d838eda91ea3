"""A real origin: nginx, with files, validators and ranges of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pingap_cache.plugin import Cache
from real_processes import until
from waiting import written

from pingap.testing import Clock, Proxy

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")

CONF = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; {user}
events {{ worker_connections 64; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    server {{
        listen 127.0.0.1:{port}; root {folder}/www;
        location / {{ expires 60s; }}
        location /varied/ {{ expires 60s; gzip on; gzip_vary on; gzip_min_length 1; gzip_types *; }}
    }}
}}
"""


@dataclass
class Nginx:
    """A running nginx."""

    addr: str
    www: Path
    log: Path

    @property
    def asked(self) -> list[str]:
        """Status codes of the requests that it answered."""
        return [line.split('" ')[1].split()[0] for line in self.log.read_text().splitlines()]


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    """An nginx that serves files."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    www = tmp_path / "www"
    (www / "varied").mkdir(parents=True)
    (www / "a").write_bytes(b"0123456789")
    (www / "varied/b").write_bytes(b"text " * 1000)
    conf = tmp_path / "nginx.conf"
    user = "user root;" if Path("/root").owner() == Path(tmp_path).owner() else ""
    conf.write_text(CONF.format(folder=tmp_path, port=port, user=user))
    process = subprocess.Popen(["nginx", "-c", str(conf)])
    try:
        until(lambda: _answers(port))
        yield Nginx(f"127.0.0.1:{port}", www, tmp_path / "access.log")
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_files(nginx: Nginx, clock: Clock, proxy: Proxy, kept: dict[str, object]) -> None:
    proxy.configure("upstreams.upstream", addrs=[nginx.addr])
    proxy.location(plugins=[(Cache, kept)])

    def get(**headers: str) -> tuple[int, bytes, str | None]:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = proxy.get("/a", headers=fields)
        written(proxy)
        return answer.status, answer.body, answer.headers.get("X-Cache-Status")

    first = proxy.get("/a")
    written(proxy)
    assert get() == (200, b"0123456789", "hit")
    assert get(Range="bytes=2-4") == (206, b"234", "hit")
    assert get(If_None_Match=first.headers["ETag"]) == (304, b"", "hit")
    assert get(If_Modified_Since=first.headers["Last-Modified"]) == (304, b"", "hit")
    clock.advance(61)
    assert get() == (200, b"0123456789", "revalidated")
    # (The clock of nginx was not moved, so that what it sends seems to be old.)
    (nginx.www / "a").write_bytes(b"another one")
    assert get() == (200, b"another one", "expired")
    assert nginx.asked == ["200", "304", "200"]


def test_encodings(nginx: Nginx, proxy: Proxy, kept: dict[str, object]) -> None:
    proxy.configure("upstreams.upstream", addrs=[nginx.addr])
    proxy.location(plugins=[(Cache, kept)])
    for status in ("miss", "hit"):
        for encoding in ("gzip", None):
            headers = {"Accept-Encoding": encoding} if encoding else {}
            answer = proxy.get("/varied/b", headers=headers)
            written(proxy)
            assert answer.headers["X-Cache-Status"] == status
            assert answer.headers.get("Content-Encoding") == encoding
    assert len(nginx.asked) == 2
