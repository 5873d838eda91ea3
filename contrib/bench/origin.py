"""The origin, an nginx with one worker: files, varying responses, and POST requests."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

SIZES: Final = {"1k": 1024, "64k": 64 * 1024, "1m": 1024 * 1024}
"""Files of the origin."""

_PATTERN: Final = b"0123456789abcdef"
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
# "return" answers before the request body has arrived, which no application does. So a second
# server is used, to which nginx only connects after it has read the whole body.
_ORIGIN: Final = """
    access_log off; client_max_body_size 0; client_body_buffer_size 2m;
    upstream posted {{ server unix:{folder}/posted.sock; keepalive 64; }}
    server {{ listen unix:{folder}/posted.sock; location / {{ return 200 ok; }} }}
    server {{
        listen 127.0.0.1:{port} backlog=4096; root {folder}/www;
        location /mixed/ {{
            add_header ETag '"$request_id"'; add_header X-Trace-Id $request_id;
            add_header Cache-Control 'private, max-age=5';
            return 200 {body};
        }}
        location /post/ {{
            add_header X-Trace-Id $request_id;
            proxy_pass http://posted; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_pass_request_body off; proxy_set_header Content-Length "";
        }}
    }}
"""


def write_origin(folder: Path, port: int) -> list[str]:
    """Write the files and the configuration of the origin; return how to start it."""
    www = folder / "www"
    www.mkdir()
    for name, size in SIZES.items():
        (www / name).write_bytes(_PATTERN * (size // len(_PATTERN)))
    body = _PATTERN.decode() * (1024 // len(_PATTERN))
    return nginx_command("origin", folder, _ORIGIN.format(port=port, folder=folder, body=body))


def nginx_command(name: str, folder: Path, rest: str) -> list[str]:
    """Write the configuration of an nginx; return how to start it.

    :param rest: the contents of ``http`` besides those that every nginx of the bench has.
    """
    conf = folder / f"{name}.conf"
    conf.write_text(_NGINX.format(name=name, folder=folder, rest=rest))
    return ["nginx", "-c", str(conf)]


def write_certificate(folder: Path) -> None:
    """Make ``cert.pem``, ``key.pem`` and ``both.pem``, for ``localhost``, with openssl."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    cert, key = folder / "cert.pem", folder / "key.pem"
    made = [*command, "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)
    (folder / "both.pem").write_bytes(cert.read_bytes() + key.read_bytes())
