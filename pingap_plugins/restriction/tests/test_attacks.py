"""What clients try against any of the guards: other forms of a request, caches, open connections, reloads."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import databases
import h2.config
import h2.connection
import h2.events
import pytest

from pingap import BackgroundTasks, Plugin, Request, Response, Worker, hookimpl
from pingap.testing import Answer, Proxy, Upstream

GUARDS: dict[str, tuple[dict[str, object], dict[str, str], dict[str, str]]] = {
    # category -> settings, headers of a request that is refused, headers of one that passes
    "ip_restriction": (
        {"type": "deny", "ip_list": ["192.0.2.7"]},
        {"X-Forwarded-For": "192.0.2.7"},
        {"X-Forwarded-For": "192.0.2.8"},
    ),
    "geo_restriction": (
        {"type": "deny", "country_codes": ["CN"]},
        {"X-Forwarded-For": databases.CHINA},
        {"X-Forwarded-For": databases.GERMANY},
    ),
    "ua_restriction": ({"type": "deny", "ua_list": ["curl"]}, {"User-Agent": "curl/8"}, {}),
    "referer_restriction": (
        {"type": "deny", "referer_list": ["evil.test"]},
        {"Referer": "https://evil.test/"},
        {},
    ),
    "header_restriction": ({"forbidden": ["X-Debug"]}, {"X-Debug": "1"}, {}),
    "method_restriction": (
        {"type": "deny", "methods": ["DELETE"], "status": 403},
        {"X-HTTP-Method-Override": "DELETE"},
        {},
    ),
}


@pytest.fixture(params=GUARDS)
def guard(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, object]]:
    """A guard: category and settings."""
    settings = GUARDS[request.param][0]
    if request.param == "geo_restriction":
        file = databases.write(tmp_path / "country.mmdb", databases.COUNTRIES)
        settings = {**settings, "database": str(file)}
    return request.param, settings


def refused_headers(guard: tuple[str, dict[str, object]]) -> dict[str, str]:
    return GUARDS[guard[0]][1]


def passing_headers(guard: tuple[str, dict[str, object]]) -> dict[str, str]:
    return GUARDS[guard[0]][2]


# Other forms of a request.

FORMS = [
    "GET / HTTP/1.0",
    "GET / HTTP/1.1",
    "GET http://h/ HTTP/1.1",
    "HEAD / HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "PROPFIND / HTTP/1.1",
    "GET //a/%2e%2e/./b?x#y HTTP/1.1",
    "GET /%61?a=b&a=c HTTP/1.1",
    "GET / HTTP/1.1\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "GET / HTTP/1.1\nUpgrade: h2c\nConnection: Upgrade, HTTP2-Settings\nHTTP2-Settings: AAMAAABk",
    "POST / HTTP/1.1\nContent-Type: application/grpc\nTE: trailers\nContent-Length: 0",
    "POST / HTTP/1.1\nExpect: 100-continue\nContent-Length: 1000000000",
    "POST / HTTP/1.1\nContent-Length: 0\nX-Forwarded-Proto: https\nX-Original-URL: /other",
]
OTHERWISE = {
    "OPTIONS * HTTP/1.1": b"404",  # it has no path, so no location
    "GET //a/%2e%2e/./b?x#y HTTP/1.1": b"400",  # a target has no fragment
}


def test_no_form_of_a_request_passes(
    guard: tuple[str, dict[str, object]], proxy: Proxy, upstream: Upstream
) -> None:
    proxy.location("/", plugins=[guard])
    for form in FORMS:
        lines = [*form.split("\n"), "Host: h", *map(": ".join, refused_headers(guard).items())]
        with proxy.connect() as client:
            client.send("\r\n".join([*lines, "", ""]).encode())
            status = client.read_until(b"\r\n").split()[1]
        wanted = OTHERWISE.get(form, b"403")
        assert status == wanted, form
    assert upstream.requests == []


def test_a_body_with_trailers_does_not_help(
    guard: tuple[str, dict[str, object]], proxy: Proxy, upstream: Upstream
) -> None:
    proxy.location("/", plugins=[guard])
    answer = proxy.request(
        "POST",
        "/",
        headers=refused_headers(guard),
        body=[b"a", b"b"],
        trailers={"User-Agent": "Good", "X-Forwarded-For": "192.0.2.8"},
    )
    assert answer.status == 403
    assert upstream.requests == []


def test_the_second_request_of_a_connection(
    guard: tuple[str, dict[str, object]], proxy: Proxy, upstream: Upstream
) -> None:
    proxy.configure("servers.web", enabled_h2=True)
    proxy.location("/", plugins=[guard])
    with proxy.connect() as client:
        for headers, status in (
            (passing_headers(guard), 200),
            (refused_headers(guard), 403),
            (passing_headers(guard), 200),
        ):
            assert client.get("/", headers=headers).status == status
    with proxy.connect_http2() as client2:
        streams = [
            client2.send_request("GET", "/", headers=headers)
            for headers in (passing_headers(guard), refused_headers(guard))
        ]
        assert [client2.answer(stream).status for stream in streams] == [200, 403]
    assert len(upstream.requests) == 3


def extended_connect(proxy: Proxy, headers: dict[str, str]) -> dict[str, str]:
    """Open a WebSocket over HTTP/2 (RFC 8441); return the header of the response."""
    with socket.create_connection(("127.0.0.1", proxy.port()), 10) as sock:
        client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        client.initiate_connection()
        sock.sendall(client.data_to_send())
        sent = False
        while data := sock.recv(65536):
            for event in client.receive_data(data):
                if isinstance(event, h2.events.RemoteSettingsChanged) and not sent:
                    pseudo = {
                        ":method": "CONNECT",
                        ":protocol": "websocket",
                        ":scheme": "http",
                        ":path": "/",
                        ":authority": "h",
                        "sec-websocket-version": "13",
                    }
                    lowered = {name.lower(): value for name, value in headers.items()}
                    client.send_headers(1, list({**pseudo, **lowered}.items()))
                    sent = True
                elif isinstance(event, h2.events.ResponseReceived):
                    return {name.decode(): value.decode() for name, value in event.headers}
            sock.sendall(client.data_to_send())
    raise AssertionError("the connection ended")


def test_a_websocket_over_http2(
    guard: tuple[str, dict[str, object]], proxy: Proxy, upstream: Upstream
) -> None:
    upstream.websocket("/")
    proxy.configure("servers.web", enabled_h2=True)
    proxy.location("/", plugins=[guard])
    assert extended_connect(proxy, refused_headers(guard))[":status"] == "403"
    assert upstream.requests == []
    assert extended_connect(proxy, passing_headers(guard))[":status"] == "200"


def test_a_method_restriction_sees_a_websocket_over_http2_as_get(
    proxy: Proxy, upstream: Upstream
) -> None:
    upstream.websocket("/")
    proxy.configure("servers.web", enabled_h2=True)
    proxy.location("/", plugins=[("method_restriction", {"methods": ["GET"]})])
    assert extended_connect(proxy, {})[":status"] == "200"


def test_no_response_at_all(
    guard: tuple[str, dict[str, object]], proxy: Proxy, upstream: Upstream
) -> None:
    category, settings = guard
    proxy.configure("servers.web", enabled_h2=True, access_log="{status}")
    proxy.location("/", plugins=[(category, {**settings, "status": 444})])
    with proxy.connect() as client:
        client.send_request("GET", "/", headers=refused_headers(guard))
        assert client.is_closed()
    with proxy.connect_http2() as client2:
        stream = client2.send_request("GET", "/", headers=refused_headers(guard))
        with pytest.raises(AssertionError, match="ended without an answer"):
            client2.answer(stream)
        assert client2.get("/", headers=passing_headers(guard)).status == 200
    assert proxy.access_log == ["444", "444", "200"]
    assert len(upstream.requests) == 1


SERVER = """
[basic]
trusted_proxies = ["127.0.0.1/32"]
[plugins.addresses]
category = "ip_restriction"
type = "deny"
ip_list = ["192.0.2.7"]
[plugins.page]
category = "mock"
[locations.one]
path = "/one"
plugins = ["pingap:ping", "page"]
[locations.all]
plugins = ["page"]
[servers.s]
addr = "127.0.0.1:0"
locations = ["one", "all"]
plugins = ["addresses"]
"""


def test_a_guard_of_a_server_guards_all_its_locations(start_proxy: Callable[..., Proxy]) -> None:
    proxy = start_proxy(SERVER)
    for path in ("/", "/one", "/one/ping", "/%6fne"):
        assert proxy.get(path, client_ip="192.0.2.7").status == 403
        assert proxy.get(path, client_ip="192.0.2.8").status == 200


# Caches.


def test_a_stored_response_stays_behind_the_guard(
    guard: tuple[str, dict[str, object]], proxy: Proxy, upstream: Upstream
) -> None:
    upstream.reply("/", b"secret", headers={"Cache-Control": "public, max-age=60"})
    proxy.location("/", plugins=[guard, ("cache", {})])

    def ask(headers: dict[str, str]) -> Answer:
        return proxy.get("/", headers=headers)

    assert ask(refused_headers(guard)).status == 403  # which is not stored
    assert ask(passing_headers(guard)).text == "secret"
    assert ask(passing_headers(guard)).text == "secret"
    refused = ask(refused_headers(guard))
    assert (refused.status, "secret" in refused.text) == (403, False)
    assert refused.headers["Cache-Control"] == "private, no-cache"
    assert len(upstream.requests) == 1


# Requests that are under way while the configuration changes.


class Switch(Plugin):
    """Serves another configuration: the old one, with a text replaced."""

    category = "switch"
    contract = "1.1"
    whole_request_body = 4096

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        self.worker = worker

    @hookimpl
    async def request(self, request: Request) -> Response:
        old, new = (request.body or b"").decode().split("=>")
        instance = self.worker.instance
        ((name, text),) = instance.snapshot.files
        assert old in text
        files = ((name, text.replace(old, new)),)
        await instance.apply(replace(instance.snapshot, files=files), by="a test")
        return Response(200)


RELOADED = """
[basic]
trusted_proxies = ["127.0.0.1/32"]
[plugins.switch]
category = "switch"
[plugins.agents]
category = "ua_restriction"
type = "deny"
ua_list = ["wget"]
[upstreams.u]
addrs = ["{addr}"]
health_check = "none"
[locations.switch]
path = "/switch"
plugins = ["switch"]
[locations.site]
upstream = "u"
plugins = ["agents"]
[servers.s]
addr = "127.0.0.1:0"
locations = ["switch", "site"]
"""


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_reload_in_the_middle(
    start_proxy: Callable[..., Proxy], upstream: Upstream, released: threading.Event
) -> None:
    upstream.reply("/slow", b"late", until=released)
    proxy = start_proxy(RELOADED.format(addr=upstream.addr), categories=[Switch])
    curl = {"User-Agent": "curl/8"}
    with proxy.connect() as slow, proxy.connect() as kept:
        assert kept.get("/", headers=curl).status == 200
        slow.send_request("GET", "/slow", headers=curl)
        upstream.wait_for_request(2)
        assert proxy.request("POST", "/switch", body=b"wget=>curl").status == 200
        assert kept.get("/", headers=curl).status == 403
        released.set()
        assert slow.answer().text == "late"  # it passed before
        assert slow.get("/", headers=curl).status == 403


def test_a_reload_that_fails_leaves_the_guard_in_place(
    start_proxy: Callable[..., Proxy], upstream: Upstream
) -> None:
    proxy = start_proxy(RELOADED.format(addr=upstream.addr), categories=[Switch])
    assert proxy.request("POST", "/switch", body=b"wget=>(").status == 500
    assert "is not a regular expression" in proxy.expect_error("ApplyError")
    assert proxy.get("/", headers={"User-Agent": "wget"}).status == 403
    assert proxy.get("/", headers={"User-Agent": "curl"}).status == 200
