"""How each proxy is configured and started: one worker, the same work, the same origin.

Every proxy answers ``/ping`` itself and forwards everything else to the origin, with a request ID
for the origin and an additional header for the client. nginx and pingap write an access log.
Request bodies are forwarded as they arrive: by default, nginx would write those of 1 MiB to a file
first.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from origin import nginx_command, write_certificate
from processes import free_port

_NGINX: Final = """
    access_log {folder}/nginx.access combined buffer=64k;
    client_max_body_size 0; proxy_request_buffering off;
    upstream origin {{
        server 127.0.0.1:{origin}; keepalive 1024; keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{ports.plain} backlog=4096;
        listen 127.0.0.1:{ports.tls} ssl backlog=4096;
        listen 127.0.0.1:{ports.h2} http2 backlog=4096;
        ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
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
  bind 127.0.0.1:{ports.plain}
  bind 127.0.0.1:{ports.tls} ssl crt {folder}/both.pem
  bind 127.0.0.1:{ports.h2} proto h2
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
  servers {{
    protocols h1 h2 h2c
  }}
}}
(site) {{
  bind 127.0.0.1
  respond /ping pong
  header X-Served-By caddy
  reverse_proxy 127.0.0.1:{origin}
}}
http://:{ports.plain}, http://:{ports.h2} {{
  import site
}}
https://:{ports.tls} {{
  tls {folder}/cert.pem {folder}/key.pem
  import site
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
_PINGAP_TLS_AND_H2: Final = """
[certificates.bench]
domains = "localhost"
tls_cert = "{folder}/cert.pem"
tls_key = "{folder}/key.pem"
is_default = true

[servers.secure]
addr = "127.0.0.1:{ports.tls}"
locations = ["ping", "all"]
access_log = "combined"
global_certificates = true

[servers.h2]
addr = "127.0.0.1:{ports.h2}"
locations = ["ping", "all"]
access_log = "combined"
enabled_h2 = true
"""
_DESCRIPTION: Final = """
import importlib.util, platform, pingap
from pingap.protocol import plain_heads, readers
compiled = readers.read_plain_request is not plain_heads.read_plain_request
assert importlib.util.find_spec("pingap_basics"), "pingap_basics is not installed"
print(f"pingap {pingap.__version__}, {platform.python_implementation()} {platform.python_version()},",
      "compiled readers" if compiled else "Python readers")
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a proxy listens.

    :param tls: HTTP/1.1 over TLS.
    :param h2: HTTP/2 without TLS.
    """

    plain: int
    tls: int
    h2: int

    @classmethod
    def free(cls) -> Ports:
        """Return three free ports."""
        return cls(free_port(), free_port(), free_port())


@dataclass(frozen=True, slots=True)
class Kind:
    """A proxy that can be measured.

    :param missing: returns what is not installed; empty if everything is.
    :param command: writes the configuration for (folder, ports, origin), returns how to start it.
    :param version: the command that prints its version.
    :param protocols: the fields of :class:`Ports` that it listens on.
    """

    missing: Callable[[], str]
    command: Callable[[Path, Ports, int], list[str]]
    version: Sequence[str]
    protocols: frozenset[str] = frozenset(("plain", "tls", "h2"))


def _nginx(folder: Path, ports: Ports, origin: int) -> list[str]:
    write_certificate(folder)
    rest = _NGINX.format(folder=folder, ports=ports, origin=origin)
    return nginx_command("nginx", folder, rest)


def _haproxy(folder: Path, ports: Ports, origin: int) -> list[str]:
    write_certificate(folder)
    conf = folder / "haproxy.cfg"
    conf.write_text(_HAPROXY.format(folder=folder, ports=ports, origin=origin))
    return ["haproxy", "-f", str(conf)]


def _caddy(folder: Path, ports: Ports, origin: int) -> list[str]:
    write_certificate(folder)
    conf = folder / "Caddyfile"
    conf.write_text(_CADDY.format(folder=folder, ports=ports, origin=origin))
    return ["caddy", "run", "--config", str(conf), "--adapter", "caddyfile"]


def _aiohttp(folder: Path, ports: Ports, origin: int) -> list[str]:
    script = Path(__file__).with_name("aiohttp_proxy.py")
    return [sys.executable, str(script), str(ports.plain), str(origin)]


def write_pingap(folder: Path, port: int, origin: int, *, basic: str = "", more: str = "") -> Path:
    """Write a configuration of pingap that listens on a plain port; return its path.

    :param basic: lines of the table ``[basic]``.
    :param more: tables to add.
    """
    conf = folder / "pingap.toml"
    conf.write_text(f"[basic]\n{basic}\n" + _PINGAP.format(port=port, origin=origin) + more)
    return conf


def start_pingap(conf: Path, python: Sequence[str] = (sys.executable,)) -> list[str]:
    """Return the command that starts pingap.

    :param python: the interpreter, as a command: ``env PINGAP_SPEEDUPS=0 python3`` is one, too.
    """
    return [*python, "-m", "pingap", "-c", str(conf), "--log", str(conf.with_suffix(".log"))]


def pingap_kind(python: Sequence[str] = (sys.executable,)) -> Kind:
    """Return pingap on an interpreter, given as for :func:`start_pingap`."""
    description = [*python, "-c", _DESCRIPTION]

    def command(folder: Path, ports: Ports, origin: int) -> list[str]:
        write_certificate(folder)
        more = _PINGAP_TLS_AND_H2.format(folder=folder, ports=ports)
        return start_pingap(write_pingap(folder, ports.plain, origin, more=more), python)

    def missing() -> str:
        done = subprocess.run(description, capture_output=True, text=True, check=False)
        return f"{done.stderr.strip()[-200:]} (make setup)" if done.returncode else ""

    return Kind(missing, command, description)


def _needs(command: str) -> Callable[[], str]:
    return lambda: "" if shutil.which(command) else f"{command} is not installed"


def _needs_aiohttp() -> str:
    return "" if find_spec("aiohttp") else "it is not installed (.venv/bin/pip install aiohttp)"


KINDS: Final = {
    "nginx": Kind(_needs("nginx"), _nginx, ["nginx", "-v"]),
    "haproxy": Kind(_needs("haproxy"), _haproxy, ["haproxy", "-v"]),
    "caddy": Kind(_needs("caddy"), _caddy, ["caddy", "version"]),
    "pingap": pingap_kind(),
    "aiohttp": Kind(
        _needs_aiohttp,
        _aiohttp,
        [sys.executable, "-c", "import aiohttp; print('aiohttp', aiohttp.__version__)"],
        frozenset(("plain",)),
    ),
}
"""The proxies, in the order of the columns."""


def version(kind: Kind) -> str:
    """Return the version of a proxy; for pingap, also the interpreter and the readers."""
    done = subprocess.run(kind.version, capture_output=True, text=True, check=False)
    line = (done.stdout + done.stderr).partition("\n")[0].strip()
    number = re.search(r"\d+\.\d[\w.+~-]*", line)
    return line if line.startswith("pingap") or number is None else number[0]
