"""Measure how long a client waits while another connection causes as much work as it can.

One worker of pingap beside one of nginx, each with one hostile connection at a time. Prints a table;
the attacks are those of ``tests/e2e/test_fairness.py``. Loopback only.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from processes import Processes, free_port

ROOT: Final = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support.certificates import issue  # noqa: E402
from support.hostile import (  # noqa: E402
    ATTACKS,
    LOCATIONS,
    Address,
    ask_origin,
    hostile_origin,
    key_updates,
    polite,
    send,
)

from pingap.testing import Upstream  # noqa: E402

REQUESTS: Final = 400

PINGAP: Final = (
    LOCATIONS
    + """
[servers.plain]
addr = "127.0.0.1:{plain}"
locations = ["small", "up"]
enabled_h2 = true
keepalive_requests = 100000000
[servers.secure]
addr = "127.0.0.1:{secure}"
locations = ["small", "up"]
keepalive_requests = 100000000
global_certificates = true
"""
)

NGINX: Final = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.err;
events {{ worker_connections 1024; }}
http {{
    access_log off; keepalive_requests 100000000; large_client_header_buffers 4 32k;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    ssl_certificate {folder}/nginx-cert.pem; ssl_certificate_key {folder}/nginx-cert.key;
    server {{ server_name h; listen 127.0.0.1:{plain}; listen 127.0.0.1:{secure} ssl;
        listen 127.0.0.1:{http2} http2; location / {{ return 200 ok; }} }}
    server {{ server_name up; listen 127.0.0.1:{plain};
        client_max_body_size 0; proxy_request_buffering off; proxy_http_version 1.1;
        location / {{ proxy_pass http://{origin}; }} }}
    server {{ server_name no; listen 127.0.0.1:{plain}; return 404; }}
}}
"""


def attacks() -> dict[str, tuple[str, Callable[[Address, threading.Event], None]]]:
    """Return the name of each attack, its listener, and the function that performs it."""
    found: dict[str, tuple[str, Callable[[Address, threading.Event], None]]] = {}
    for name, one in ATTACKS.items():
        port = "secure" if one.tls else "http2" if one.http2 else "plain"
        found[name] = (port, lambda address, stop, one=one: send(address, one, stop))
    found["new keys of TLS"] = ("secure", key_updates)
    found["upstream: chunks of one byte"] = ("plain", partial(ask_origin, "/chunks"))
    found["upstream: interim responses"] = ("plain", partial(ask_origin, "/interim"))
    return found


def measure(
    plain: int, port: int, attack: Callable[[Address, threading.Event], None] | None
) -> str:
    """Return p50, p99 and the maximum of the times of a polite client, in milliseconds."""
    process = None
    if attack is not None:
        process = multiprocessing.get_context("fork").Process(
            target=attack, args=(("127.0.0.1", port), threading.Event()), daemon=True
        )
        process.start()
        time.sleep(0.3)
    try:
        took = polite(("127.0.0.1", plain), REQUESTS, seconds=6, pause=0.005)
    finally:
        if process is not None:
            process.kill()
            process.join()
    middle, late = took[len(took) // 2], took[len(took) * 99 // 100]
    return f"{middle * 1e3:.1f} / {late * 1e3:.1f} / {took[-1] * 1e3:.1f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="attacks whose name holds this")
    parser.add_argument("--pingap", default=f"{Path(sys.executable).parent}/pingap")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Upstream(hostile_origin) as origin:
        folder = Path(name)
        issued = issue("localhost")
        issued.write(folder, "nginx-cert")
        ports = {
            proxy: {kind: free_port() for kind in ("plain", "secure", "http2")}
            for proxy in ("pingap", "nginx")
        }
        ports["pingap"]["http2"] = ports["pingap"]["plain"]
        toml, conf = folder / "pingap.toml", folder / "nginx.conf"
        tables = issued.toml("leaf", "is_default = true")
        toml.write_text(PINGAP.format(origin=origin.addr, **ports["pingap"]) + tables)
        conf.write_text(NGINX.format(folder=folder, origin=origin.addr, **ports["nginx"]))
        commands = {"pingap": [args.pingap, "-c", str(toml)], "nginx": ["nginx", "-c", str(conf)]}
        with Processes(folder) as processes:
            running = [
                proxy
                for proxy in commands
                if processes.start(proxy, commands[proxy], ports[proxy]["plain"])
            ]
            print("p50 / p99 / longest in ms\n")
            print(f"| one hostile connection | {' | '.join(running)} |")
            print(f"| --- |{' --- |' * len(running)}")
            nobody: dict[str, tuple[str, Callable[[Address, threading.Event], None] | None]]
            nobody = {"none": ("plain", None), **attacks()}
            for attack, (kind, make) in nobody.items():
                if args.only in attack:
                    row = [
                        measure(ports[proxy]["plain"], ports[proxy][kind], make)
                        for proxy in running
                    ]
                    print(f"| {attack} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
