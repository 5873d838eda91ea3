"""The pingap that is attacked: two workers, all listeners, plugins, and origins of all kinds."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.certificates import issue
from support.process import Process

PLUGIN = '''
import anyio
from pingap import BodyFilter, Plugin, Request, Response, hookimpl


class Through(BodyFilter):
    """Keeps the last byte of each piece until the next one comes."""

    def __init__(self):
        self.last = b""

    def feed(self, chunk):
        data, self.last = self.last + chunk[:-1], chunk[-1:]
        return data

    def end(self, trailers):
        return self.last


class Fuzzed(Plugin):
    body = "rewrites"

    @hookimpl
    async def request(self, request: Request) -> None:
        if len(request.target) % 2:
            await anyio.sleep(0.001)

    @hookimpl
    def request_body(self):
        return Through()

    @hookimpl
    async def response(self, response: Response) -> None:
        response.headers.set("X-Fuzzed", "1")

    @hookimpl
    def response_body(self):
        return Through()
'''


def configuration(ports: dict[str, int], folder: Path) -> str:
    """Return the TOML.

    :param ports: of the origins: ``h1``, ``h2`` and ``tls``.
    :param folder: for files.
    """
    (folder / "proxy").mkdir(exist_ok=True)
    (folder / "proxy" / "fuzzed.py").write_text(PLUGIN)
    plugins = '["pingap:requestId", "headers", "fuzzed"]'
    upstreams = "".join(
        f'[upstreams.{name}]\naddrs = ["127.0.0.1:{port}"]\nhealth_check = "none"\nidle_timeout = "1s"\n'
        f'read_timeout = "20s"\n{more}\n'
        for name, port, more in (
            ("h1", ports["h1"], ""),
            ("h2", ports["h2"], 'alpn = "H2"\nmax_h2_streams = 20'),
            ("tls", ports["tls"], 'sni = "fuzz.test"\nverify_cert = false'),
        )
    )
    locations = "".join(
        f'[locations.{name}]\npath = "/{name}"\nupstream = "{upstream}"\n{more}\n'
        for name, upstream, more in (
            ("h1", "h1", f"plugins = {plugins}"),
            ("h2", "h2", f"plugins = {plugins}"),
            ("tls", "tls", f"plugins = {plugins}"),
            ("grpc", "h1", "grpc_web = true"),
            ("plain", "h1", ""),
        )
    )
    servers = "".join(
        f'[servers.{name}]\naddr = "127.0.0.1:0"\nlocations = ["h1", "h2", "tls", "grpc", "plain"]\n'
        'enabled_h2 = true\nprometheus_metrics = "/metrics"\n'
        'downstream_read_timeout = "10s"\ndownstream_write_timeout = "10s"\n'
        f'access_log = "{folder}/access.log combined"\n{more}\n'
        for name, more in (
            ("web", ""),
            ("tls", "global_certificates = true"),
            ("proxied", "proxy_protocol = true"),
        )
    )
    return (
        f'[basic]\ntrusted_proxies = ["127.0.0.1"]\n{issue("fuzz.test").toml("all")}'
        '[plugins.headers]\ncategory = "response_headers"\nset_headers = ["X-A: b"]\n'
        f'[plugins.fuzzed]\ncategory = "python"\npath = "fuzzed.py"\n{upstreams}{locations}{servers}'
    )


class Target:
    """The running process, and what it holds.

    :param ports: of the origins.
    :param folder: for its files.
    """

    def __init__(self, ports: dict[str, int], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        toml = configuration(ports, folder)
        self.proxy = Process(toml, folder / "proxy", "--threads", "2", start_seconds=90)
        self.ports = {name: self.proxy.port(name) for name in ("web", "tls", "proxied")}
        self.workers = self.proxy.workers
        self._read = 0

    def new_errors(self) -> list[str]:
        """Return the lines of the log that no client may cause, since the last call."""
        log = self.proxy.log
        fresh, self._read = log[self._read :], len(log)
        marks = (" ERROR ", "Traceback", "bug in pingap", "blocks the loop", "does not answer")
        return [line for line in fresh.splitlines() if any(mark in line for mark in marks)]

    def files(self) -> int:
        """Return how many files the workers have open."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.workers)

    def memory(self) -> int:
        """Return the resident bytes of the workers."""
        pages = (Path(f"/proc/{pid}/statm").read_text().split()[1] for pid in self.workers)
        return sum(map(int, pages)) * 4096

    def in_flight(self) -> int:
        """Return how many requests are under way, without the one that asks."""
        with self.proxy.connect() as client:
            page = client.get("/metrics").body.decode()
        names = ("pingap_http_requests_current{", "pingap_upstream_connections_current{")
        values = [line.rpartition(" ")[2] for line in page.splitlines() if line.startswith(names)]
        return int(sum(map(float, values)))

    def stop(self) -> str:
        """Stop it; return what is wrong with its end, if anything."""
        try:
            code = self.proxy.stop(seconds=60)
        except subprocess.TimeoutExpired:
            return "pingap does not end within 60 s"
        return f"pingap ended with {code}" if code else ""
