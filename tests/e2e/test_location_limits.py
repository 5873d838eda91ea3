"""The time limits that a location sets itself, for requests that share upstreams and connections with others."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import anyio
import pytest
from support.certificates import issue
from support.h2 import END_HEADERS, H2Client, fields
from support.h2_origin import H2Served, h2_script
from support.network import full_backlog
from support.origin import Script
from support.rig import configure, running, unchecked
from support.tls import TlsOrigin

from pingap import Plugin, hookimpl
from pingap.testing import Proxy, Served, Upstream

EVENTS = """
[locations.events]
path = "/events"
upstream = "origin"
read_timeout = "1day"
client_body_timeout = "1day"
[locations.health]
path = "/health"
upstream = "origin"
read_timeout = "300ms"
send_timeout = "300ms"
connection_timeout = "300ms"
client_body_timeout = "300ms"
"""
LISTED = '"events", "health", '


RELEASED = threading.Event()


@pytest.fixture(autouse=True)
def not_released() -> Iterator[None]:
    RELEASED.clear()
    WAITING.clear()
    yield
    RELEASED.set()


def late(served: Served) -> None:
    """Answer paths that end in ``late`` or ``never`` only after ``/release`` was requested."""
    while (request := served.read_request()) is not None:
        if request.path == "/release":
            RELEASED.set()
        elif request.path.endswith(("late", "never")):
            RELEASED.wait(20)
        served.respond(b"ok")


WAITING: list[tuple[H2Served, int]] = []


def late_streams(served: H2Served) -> None:
    while (request := served.request()) is not None:
        if request.path.endswith("never"):
            continue
        if request.path.endswith("late"):
            WAITING.append((served, request.stream))
            continue
        if request.path == "/release":
            [(other, stream)] = WAITING
            other.respond(stream, b"ok")
        served.respond(request.stream, b"ok")


@contextmanager
def rig_of(kind: str, upstream: str, folder: Path) -> Iterator[Proxy]:
    """Run a proxy whose upstream speaks HTTP/1.1, HTTP/2, or HTTP/1.1 over TLS."""
    script: Script = h2_script(late_streams) if kind == "h2" else late
    settings = {"more": EVENTS, "locations": LISTED}
    with ExitStack() as stack:
        if kind != "tls":
            more = 'alpn = "H2"\nmax_h2_streams = 9\n' if kind == "h2" else ""
            origin = stack.enter_context(Upstream(script))
            text = configure(origin.addr, upstream=upstream + more, **settings)
            yield stack.enter_context(unchecked(Proxy(text)))
            return
        root = issue(ca=True, common_name="root")
        (folder / "root.pem").write_text(root.cert)
        own = issue("origin.test", "127.0.0.1", by=root).write(folder, "origin")
        secure = stack.enter_context(TlsOrigin(own, script))
        upstream += f'sni = "origin.test"\nupstream_ca = "{folder}/root.pem"\n'
        text = configure(secure.addr, upstream=upstream, **settings)
        yield stack.enter_context(unchecked(Proxy(text)))


@pytest.mark.parametrize("kind", ["h1", "h2", "tls"])
def test_a_location_waits_longer_than_its_upstream(kind: str, tmp_path: Path) -> None:
    with (
        rig_of(kind, 'read_timeout = "300ms"\n', tmp_path) as proxy,
        proxy.connect() as events,
        proxy.connect() as other,
    ):
        events.send(b"GET /events/late HTTP/1.1\r\nHost: a\r\n\r\n")
        assert other.get("/never").status == 504  # the limit of the upstream has passed
        assert other.get("/release").status == 200
        assert events.answer().status == 200


@pytest.mark.parametrize("kind", ["h1", "h2", "tls"])
def test_a_kept_connection_has_the_limits_of_the_request_it_serves(
    kind: str, tmp_path: Path
) -> None:
    with rig_of(kind, 'read_timeout = "1day"\n', tmp_path) as proxy, proxy.connect() as client:
        assert client.get("/events").status == 200
        assert client.get("/health/never").status == 504
        assert client.get("/health").status == 200
        with proxy.connect() as events:  # on the connection that had a short limit
            events.send(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.get("/health/never").status == 504
            assert client.get("/release").status == 200
            assert events.answer().status == 200


def test_the_rest_of_an_answer_has_the_limit_of_its_location() -> None:
    """Both locations are served by one connection after the other."""

    def stall(served: Served) -> None:
        while (request := served.read_request()) is not None:
            if request.path == "/release":
                RELEASED.set()
            if not request.path.endswith(("late", "never")):
                served.respond(b"ok")
                continue
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
            RELEASED.wait(20)
            served.send(b"cd")

    upstream = 'read_timeout = "1day"'
    with (
        running(stall, upstream=upstream, more=EVENTS, locations=LISTED) as rig,
        rig.connect() as patient,
        rig.connect() as client,
    ):
        assert client.get("/health").status == 200
        patient.send(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
        assert patient.read_head().status == 200
        assert client.get("/events").status == 200
        assert not client.get("/health/never").complete
        with rig.connect() as other:
            assert other.get("/release").status == 200
        assert patient.read_rest() == b"abcd"
        assert rig.origin.connections == 3


def test_zero_removes_the_limit_of_the_upstream() -> None:
    more = EVENTS.replace('"1day"', '"0"', 1)
    upstream = 'read_timeout = "300ms"'
    with (
        running(late, upstream=upstream, more=more, locations=LISTED) as rig,
        rig.connect() as events,
        rig.connect() as other,
    ):
        events.send(b"GET /events/late HTTP/1.1\r\nHost: a\r\n\r\n")
        assert other.get("/never").status == 504
        assert other.get("/release").status == 200
        assert events.answer().status == 200


@pytest.mark.parametrize("more", ["", 'alpn = "H2"\n'])
def test_a_connection_takes_as_long_as_the_location_allows(more: str) -> None:
    with full_backlog() as listener:
        addr = f"127.0.0.1:{listener.getsockname()[1]}"
        text = configure(addr, upstream=more, more=EVENTS, locations=LISTED)
        with unchecked(Proxy(text)) as proxy:
            with proxy.connect() as patient, proxy.connect() as client:
                patient.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                # With HTTP/2, it does not wait for the connection that another request opens.
                assert client.get("/health").status == 504
                assert not select.select([patient.sock], [], [], 0)[0]
            proxy.wait_for_log("did not accept a connection in time (ConnectTimedout)")


def test_an_upstream_takes_the_body_as_fast_as_the_location_wants() -> None:
    def deaf(served: Served) -> None:
        served.read_head()
        served.stopping.wait(20)

    size = 30_000_000
    with running(deaf, more=EVENTS, locations=LISTED) as rig, rig.connect() as client:
        client.send(b"PUT /health HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        client.sock.setblocking(False)
        with suppress(ConnectionError):  # the answer may come before everything is full
            while select.select([], [client.sock], [], 0.2)[1]:
                client.sock.send(bytes(100_000))
        client.sock.settimeout(10)
        assert client.answer("PUT").status == 504
        assert "did not take the request in time" in rig.proxy.wait_for_log("WriteTimedout")


def test_a_websocket_may_be_silent_for_longer(upstream: Upstream) -> None:
    upstream.websocket("/health/socket")
    upstream.reply("/health/never", until=RELEASED)
    upstream_limit = 'read_timeout = "300ms"'
    text = configure(upstream.addr, upstream=upstream_limit, more=EVENTS, locations=LISTED)
    with (
        unchecked(Proxy(text)) as proxy,
        proxy.connect_websocket("/health/socket") as socket,
        proxy.connect() as other,
    ):
        for _ in range(2):
            assert other.get("/health/never").status == 504
        socket.send("hello")
        assert socket.receive() == "hello"
        RELEASED.set()


PART = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab"


def test_a_body_may_take_longer_or_less_long_than_at_other_locations() -> None:
    server = 'downstream_read_timeout = "600ms"'
    with (
        running(server=server, more=EVENTS, locations=LISTED) as rig,
        rig.connect() as events,
        rig.connect() as usual,
        rig.connect() as health,
    ):
        for client, path in ((events, b"/events"), (usual, b"/"), (health, b"/health")):
            client.send(PART % path)
        assert health.answer("POST").status == 408
        assert usual.answer("POST").status == 408
        events.send(b"cd")
        assert events.answer("POST").body == b"abcd"


class Thinking(Plugin):
    category = "thinking"

    @hookimpl
    async def server_request(self) -> None:
        await anyio.sleep(0.01)


@pytest.mark.parametrize("http2", [False, True])
def test_the_limit_of_a_body_that_began_before_its_location_was_known(http2: bool) -> None:
    server = 'downstream_read_timeout = "600ms"\nplugins = ["think"]\nenabled_h2 = true'
    more = f'[plugins.think]\ncategory = "thinking"\n{EVENTS}'
    with Upstream() as origin:
        text = configure(origin.addr, server=server, more=more, locations=LISTED)
        with unchecked(Proxy(text, categories=[Thinking])) as proxy, proxy.connect() as other:
            if http2:
                with H2Client(proxy) as client:
                    client.headers(1, fields("POST", "/events"), END_HEADERS)
                    other.send(PART % b"/")
                    assert other.answer("POST").status == 408
                    client.data(1, b"abcd", end=True)
                    assert client.finish(1).body == b"abcd"
                return
            with proxy.connect() as events:
                events.send(PART[:-2] % b"/events")
                other.send(PART % b"/")
                assert other.answer("POST").status == 408
                events.send(b"abcd")
                assert events.answer("POST").body == b"abcd"


def test_a_body_over_http2_may_take_longer_or_less_long() -> None:
    server = 'downstream_read_timeout = "600ms"\nenabled_h2 = true'
    with (
        running(server=server, more=EVENTS, locations=LISTED) as rig,
        H2Client(rig.proxy) as client,
    ):
        for stream, path in ((1, "/events"), (3, "/"), (5, "/health")):
            client.headers(stream, fields("POST", path), END_HEADERS)
            client.data(stream, b"ab")
        assert client.finish(5).status == 408
        assert client.finish(3).status == 408
        client.data(1, b"cd", end=True)
        assert client.finish(1).body == b"abcd"
