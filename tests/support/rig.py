"""Configurations of one server and one upstream, and small helpers of the tests around them.

A user describes such a proxy with the fixtures ``proxy`` and ``upstream``. Here the configuration is TOML, with each of
its tables in the hands of the test, and the same helpers work with proxies in processes of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import Signals

from pingap.testing import Answer, Client, Proxy, Served, Upstream
from support.origin import Script, echo
from support.process import Process


def configure(
    *addrs: str,
    basic: str = "",
    server: str = "",
    location: str = "",
    upstream: str = "",
    locations: str = "",
    more: str = "",
) -> str:
    """Return TOML of one server ``web``, location ``all`` and upstream ``origin``.

    :param addrs: of the upstream.
    :param locations: names of further locations, quoted, each with a comma behind it.
    :param more: further tables.
    """
    listed = ", ".join(f'"{addr}"' for addr in addrs)
    if "health_check" not in upstream:  # tests count the connections that an origin gets
        upstream += '\nhealth_check = "none"'
    address = "" if "addr =" in server else 'addr = "127.0.0.1:0"'
    return f"""
[basic]
{basic}
[upstreams.origin]
addrs = [{listed}]
{upstream}
[locations.all]
upstream = "origin"
{location}
{more}
[servers.web]
{address}
locations = [{locations}"all"]
{server}
"""


class Rig:
    """A proxy and the origin behind it."""

    def __init__(self, proxy: Proxy | Process, origin: Upstream) -> None:
        self.proxy = proxy
        self.origin = origin

    def connect(self) -> Client:
        """Return a new connection to the proxy."""
        return self.proxy.connect("web")

    @contextmanager
    def script(self, script: Script) -> Iterator[None]:
        """Let the origin serve new connections by a script; forget what it received before."""
        self.origin.requests.clear()
        self.origin.script = script
        try:
            yield
        finally:
            self.origin.script = echo


@contextmanager
def unchecked(proxy: Proxy) -> Iterator[Proxy]:
    """Run a proxy whose log is for the test to look at: no error makes it fail."""
    try:
        yield proxy.start()
    finally:
        proxy.stop()


@contextmanager
def running(script: Script = echo, **settings: str) -> Iterator[Rig]:
    """Run an origin and a proxy in front of it; the settings go to ``configure``.

    What the proxy logs is for the test to look at: no error makes it fail.
    """
    with (
        Upstream(script) as origin,
        unchecked(Proxy(configure(origin.addr, **settings))) as proxy,
    ):
        yield Rig(proxy, origin)


@contextmanager
def running_process(folder: Path, script: Script = echo, **settings: str) -> Iterator[Rig]:
    """Run the proxy as ``pingap`` does, in processes of its own: for signals, and what one process uses."""
    with Upstream(script) as origin, Process(configure(origin.addr, **settings), folder) as proxy:
        yield Rig(proxy, origin)


def signal_workers(rig: Rig, number: Signals) -> None:
    """Send a signal to the processes that serve."""
    for worker in rig.proxy.workers:
        os.kill(worker, number)


def resident(proxy: Process) -> int:
    """Return the bytes of memory that the only worker of a proxy uses."""
    (worker,) = proxy.workers
    return int(Path(f"/proc/{worker}/statm").read_text().split()[1]) * 4096


def read_to_end(served: Served) -> bytes:
    """Read until the end of a connection; return what came."""
    rest, served.unread = served.unread, b""
    while data := served.receive():
        rest += data
    return rest


def answer_or_none(client: Client, method: str = "GET") -> Answer | None:
    """Return the next answer, or None if the connection ends before its head."""
    try:
        return client.answer(method)
    except AssertionError:
        return None
