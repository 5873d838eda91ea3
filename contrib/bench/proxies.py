"""How each proxy is configured and started: one worker, the same work, the same origin.

Every proxy answers ``/ping`` itself and passes everything else on to the origin, with a request id
for it and one header more for the client. nginx and pingap write an access log.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

SIZES: Final = {"1k": 1024, "64k": 64 * 1024, "1m": 1024 * 1024}
"""Files of the origin."""

_NGINX: Final = """
worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log {folder}/{name}.err;
events {{ worker_connections 8192; }}
http {{
    client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy;
    fastcgi_temp_path {folder}/{name}-fastcgi; uwsgi_temp_path {folder}/{name}-uwsgi;
    scgi_temp_path {folder}/{name}-scgi;
    default_type text/plain; keepalive_requests 1000000000;
    {rest}
}}
"""
_NGINX_ORIGIN: Final = """
    access_log off;
    server {{ listen 127.0.0.1:{port} backlog=4096; root {folder}/www; }}
"""
_NGINX_PROXY: Final = """
    access_log {folder}/nginx.access combined buffer=64k;
    upstream origin {{
        server 127.0.0.1:{origin}; keepalive 1024; keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /ping {{ return 200 pong; }}
        location / {{
            proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header X-Request-Id $request_id; add_header X-Served-By nginx;
        }}
    }}
"""
_HAPROXY: Final = """
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
  http-reuse always
frontend web
  bind 127.0.0.1:{port}
  http-request return status 200 content-type text/plain string pong if {{ path /ping }}
  http-request set-header x-request-id %[uuid()]
  http-response set-header x-served-by haproxy
  default_backend origin
backend origin
  server origin 127.0.0.1:{origin}
"""
_CADDY: Final = """
{{
  admin off
  auto_https off
}}
http://:{port} {{
  bind 127.0.0.1
  respond /ping pong
  header X-Served-By caddy
  reverse_proxy 127.0.0.1:{origin}
}}
"""
_PINGAP: Final = """
[upstreams.origin]
addrs = ["127.0.0.1:{origin}"]

[plugins.servedBy]
category = "response_headers"
set_headers = ["X-Served-By: pingap"]

[locations.ping]
path = "=/ping"
plugins = ["pingap:ping"]

[locations.all]
path = "/"
upstream = "origin"
plugins = ["pingap:requestId", "servedBy"]

[servers.web]
addr = "127.0.0.1:{port}"
locations = ["ping", "all"]
access_log = "combined"
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A proxy that can be measured.

    :param missing: says what is not installed; empty if everything is.
    :param command: writes the configuration for (folder, port, origin), returns how to start it.
    :param version: the command that prints its version.
    """

    missing: Callable[[], str]
    command: Callable[[Path, int, int], list[str]]
    version: list[str]


def write_origin(folder: Path, port: int) -> list[str]:
    """Write the files and the configuration of the origin, an nginx; return how to start it."""
    www = folder / "www"
    www.mkdir()
    for name, size in SIZES.items():
        (www / name).write_bytes(b"0123456789abcdef" * (size // 16))
    rest = _NGINX_ORIGIN.format(port=port, folder=folder)
    return _nginx_command("origin", folder, rest)


def _nginx_command(name: str, folder: Path, rest: str) -> list[str]:
    conf = folder / f"{name}.conf"
    conf.write_text(_NGINX.format(name=name, folder=folder, rest=rest))
    return ["nginx", "-c", str(conf)]


def _nginx(folder: Path, port: int, origin: int) -> list[str]:
    rest = _NGINX_PROXY.format(folder=folder, port=port, origin=origin)
    return _nginx_command("nginx", folder, rest)


def _haproxy(folder: Path, port: int, origin: int) -> list[str]:
    conf = folder / "haproxy.cfg"
    conf.write_text(_HAPROXY.format(port=port, origin=origin))
    return ["haproxy", "-f", str(conf)]


def _caddy(folder: Path, port: int, origin: int) -> list[str]:
    conf = folder / "Caddyfile"
    conf.write_text(_CADDY.format(port=port, origin=origin))
    return ["caddy", "run", "--config", str(conf), "--adapter", "caddyfile"]


def write_pingap(folder: Path, port: int, origin: int, basic: str = "") -> list[str]:
    """Write the configuration of pingap; return how to start it.

    :param basic: lines of the table ``[basic]``.
    """
    conf = folder / "pingap.toml"
    conf.write_text(f"[basic]\n{basic}\n" + _PINGAP.format(port=port, origin=origin))
    return [sys.executable, "-m", "pingap", "-c", str(conf), "--log", str(folder / "pingap.log")]


def _aiohttp(folder: Path, port: int, origin: int) -> list[str]:
    script = Path(__file__).with_name("aiohttp_proxy.py")
    return [sys.executable, str(script), str(port), str(origin)]


def _needs(command: str) -> Callable[[], str]:
    return lambda: "" if shutil.which(command) else f"{command} is not installed"


def _needs_module(module: str, hint: str) -> Callable[[], str]:
    return lambda: "" if find_spec(module) else f"{module} is not installed ({hint})"


KINDS: Final = {
    "nginx": Kind(_needs("nginx"), _nginx, ["nginx", "-v"]),
    "haproxy": Kind(_needs("haproxy"), _haproxy, ["haproxy", "-v"]),
    "caddy": Kind(_needs("caddy"), _caddy, ["caddy", "version"]),
    "pingap": Kind(
        _needs_module("pingap_basics", "make setup"),
        write_pingap,
        [sys.executable, "-m", "pingap", "-V"],
    ),
    "aiohttp": Kind(
        _needs_module("aiohttp", ".venv/bin/pip install aiohttp"),
        _aiohttp,
        [sys.executable, "-c", "import aiohttp; print('aiohttp', aiohttp.__version__)"],
    ),
}
"""The proxies, in the order of the columns."""


def version(name: str) -> str:
    """Return what a proxy says of its version, on one line."""
    done = subprocess.run(KINDS[name].version, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return lines[0].strip() if lines else "unknown version"
