"""Everything that the page about hooks of the process shows, in real processes."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest
from docs.blocks import DOCS, every_block
from support.plugins import python_path, routes
from support.process import Process
from support.waiting import until

from pingap.testing import Proxy, Upstream

PAGE = DOCS / "process-hooks.md"


def shown(file: str) -> str:
    """Return the TOML that configures a plugin."""
    (toml,) = (
        block.text for block in every_block(PAGE) if f'path = "plugins/{file}"' in block.text
    )
    return re.sub(r'addr = "127\.0\.0\.1:\d+"', 'addr = "127.0.0.1:0"', toml)


def test_clients_on_the_list_are_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(directory)
    toml = shown("block_list.py").replace("plugins/", f"{directory}/plugins/")
    with Process(toml.replace("192.0.2.0/24", "127.0.0.2/32"), tmp_path) as proxy:
        address = ("127.0.0.1", proxy.port())
        for source, expected in (("127.0.0.2", b""), ("127.0.0.3", b"HTTP/1.1 404")):
            with socket.create_connection(address, 5, source_address=(source, 0)) as sock:
                try:
                    sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    assert sock.recv(12) == expected
                except ConnectionError:
                    assert not expected


def test_events_are_sent_to_the_web_service(
    directory: Path, monkeypatch: pytest.MonkeyPatch, upstream: Upstream
) -> None:
    monkeypatch.chdir(directory)
    toml = shown("alerts.py").replace("127.0.0.1:9000", upstream.addr)
    toml = toml.replace('kinds = ["', 'kinds = ["alerts_started", "')
    with Proxy(f'{toml}\n[servers.web]\naddr = "127.0.0.1:0"\n'):
        until(lambda: upstream.requests)
        (request,) = upstream.requests
    assert request.method == "POST"
    assert json.loads(request.body) == {
        "category": "alerts_started",
        "level": "info",
        "message": "a worker has begun",
    }


def test_failures_are_shown(directory: Path, tmp_path: Path) -> None:
    (directory / "plugins" / "broken.py").write_text(
        "from pingap import Plugin, hookimpl\n\n\nclass Broken(Plugin):\n    @hookimpl\n"
        "    def request(self): raise KeyError('wanted')\n"
    )
    toml = shown("failure_queue.py").replace("plugins/", f"{directory}/plugins/")
    toml = toml.replace('locations = ["failures"]', 'locations = ["failures", "broken"]')
    toml += (
        f'[plugins.broken]\ncategory = "python"\npath = "{directory}/plugins/broken.py"\n'
        '[locations.broken]\nplugins = ["broken"]\n'
    )
    with Process(toml, tmp_path) as proxy, proxy.connect("internal") as client:
        assert client.get("/it").status == 500
        assert client.get("/failures").body == b"broken /it KeyError('wanted')"


def test_values_and_lines_of_the_log(examples: Path, tmp_path: Path, upstream: Upstream) -> None:
    (toml,) = (one.text for one in every_block(PAGE) if "datagram:/run" in one.text)
    path = tmp_path / "s"
    (access_log,) = re.findall(r'access_log = ".*"', toml)
    toml = routes(
        {"app": 'country\nproxy_set_headers = ["X-From: $country"]'},
        upstream.addr,
        server=access_log.replace("/run/collector.sock", str(path)),
        more='[plugins.country]\ncategory = "country"',
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as collector:
        collector.bind(str(path))
        collector.settimeout(5)
        with Process(toml, tmp_path / "proxy", env=python_path(examples)) as proxy:
            with proxy.connect() as client:
                assert client.request("GET", "/app/", headers={"X-Country": "CH"}).status == 200
                assert client.get("/app/2").status == 200
            assert proxy.stop() == 0
        assert [collector.recv(1000) for _ in range(2)] == [
            b"GET /app/ CH\n",
            b"GET /app/2 unknown\n",
        ]
    assert [one.header("x-from") for one in upstream.requests] == ["CH", "unknown"]
