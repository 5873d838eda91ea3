"""What happens to header fields on their way, in both directions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.h2_origin import H2Served, h2_script
from support.rig import Rig, configure, running, unchecked

from pingap.testing import Proxy, Served, Upstream

HOP = (
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "TE: trailers",
    "Trailer: X",
    "Upgrade: h2c",
    "X-Listed: 1",
    "X-Also-Listed: 1",
)


def with_hop_fields(served: Served) -> None:
    while served.read_request() is not None:
        served.send(
            "\r\n".join(
                [
                    "HTTP/1.1 200 OK",
                    "Connection: keep-alive, X-Listed",
                    *HOP,
                    "connection: x-also-LISTED",
                    "Set-Cookie: a=1",
                    "X-Stays: \xe9",
                    "Set-Cookie: b=2",
                    "Date: Mon, 01 Jan 2024 00:00:00 GMT",
                    "Server: origin/1",
                    "cOnTent-LENGTH: 2",
                    "",
                    "ok",
                ]
            ).encode("latin-1")
        )


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    more = """
[locations.set]
path = "/set"
upstream = "origin"
enable_reverse_proxy_headers = true
proxy_set_headers = ["X-Set: yes", "Host: inner.example", "X-Var: $http_x_in"]
proxy_add_headers = ["X-Added: more"]
"""
    with running(with_hop_fields, more=more, locations='"set", ') as rig:
        yield rig


def test_fields_of_a_hop_are_dropped_on_the_way_to_the_upstream(rig: Rig) -> None:
    rig.origin.requests.clear()
    with rig.connect() as client:
        client.send(
            "\r\n".join(
                [
                    "POST /x HTTP/1.1",
                    "Host: a.example:1",
                    "Connection: keep-alive, X-Listed",
                    *HOP,
                    "connection: x-also-LISTED, host, cookie",
                    "Cookie: a=1",
                    "Accept: */*",
                    "accept: text/html",
                    "content-LENGTH: 003",
                    "",
                    "abc",
                ]
            ).encode()
        )
        assert client.answer().status == 200
    [request] = rig.origin.requests
    assert request.headers == [
        ("Host", "a.example:1"),
        ("Cookie", "a=1"),
        ("Accept", "*/*"),
        ("accept", "text/html"),
        ("Content-Length", "3"),
        ("Connection", "TE"),  # ours, for what we take
        ("TE", "trailers"),
    ]


def test_fields_of_a_hop_are_dropped_on_the_way_to_the_client(rig: Rig) -> None:
    with rig.connect() as client:
        answer = client.get("/")
    assert answer.headers == [
        ("Set-Cookie", "a=1"),
        ("X-Stays", "\xe9"),
        ("Set-Cookie", "b=2"),
        ("Date", "Mon, 01 Jan 2024 00:00:00 GMT"),
        ("Server", "origin/1"),
        ("Content-Length", "2"),
    ]


def test_configured_fields_replace_and_add(rig: Rig) -> None:
    rig.origin.requests.clear()
    with rig.connect() as client:
        client.send(
            b"GET /set HTTP/1.1\r\nHost: outer.example\r\nx-set: no\r\nX-Set: never\r\nX-Added: one\r\n"
            b"X-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\nX-Var: forged\r\n\r\n"
        )
        assert client.answer().status == 200
        port = client.sock.getpeername()[1]
    [request] = rig.origin.requests
    assert request.header_all("x-set") == ["yes"]
    assert request.header_all("x-added") == ["one", "more"]
    assert request.header_all("host") == ["inner.example"]
    assert request.header_all("x-var") == []
    assert request.header_all("x-real-ip") == ["127.0.0.1"]
    assert request.header_all("x-forwarded-for") == ["127.0.0.1"]  # (the client is nobody's proxy)
    assert request.header_all("x-forwarded-proto") == ["http"]
    assert request.header_all("x-forwarded-host") == ["outer.example"]
    assert request.header_all("x-forwarded-port") == [str(port)]


def test_a_client_cannot_strip_what_the_proxy_sets(rig: Rig) -> None:
    rig.origin.requests.clear()
    with rig.connect() as client:
        client.send(
            b"GET /set HTTP/1.1\r\nHost: a\r\nConnection: x-real-ip, x-set, x-forwarded-for\r\n\r\n"
        )
        assert client.answer().status == 200
    [request] = rig.origin.requests
    assert request.header_all("x-real-ip") == ["127.0.0.1"]
    assert request.header_all("x-set") == ["yes"]


REMOVING = """
[locations.removing]
path = "/removing"
upstream = "origin"
enable_reverse_proxy_headers = true
proxy_remove_headers = ["Origin", "accept-encoding", "X-Real-IP", "X-Both"]
proxy_set_headers = ["X-Empty:", "X-Both: ours"]
host_header = "upstream"
[locations.literal]
path = "/literal"
upstream = "origin"
host_header = "inner.example:8080"
"""
SENT = (
    b"GET %b HTTP/1.1\r\nHost: outer.example\r\nOrigin: https://a\r\nAccept-Encoding: gzip\r\n"
    b"X_Empty: 2\r\nX-Empty: 1\r\nX-Both: theirs\r\nAccept_Encoding: br\r\nX-Kept: 1\r\n\r\n"
)


@pytest.fixture(scope="module")
def removing() -> Iterator[Rig]:
    with running(more=REMOVING, locations='"removing", "literal", ') as rig:
        yield rig


def test_fields_are_removed(removing: Rig) -> None:
    removing.origin.requests.clear()
    with removing.connect() as client:
        client.send(SENT % b"/removing")
        assert client.answer().status == 200
    [request] = removing.origin.requests
    assert [name for name, _ in request.headers if not name.lower().startswith("x-forwarded")] == [
        "Host",
        "X-Kept",
        "X-Both",
    ]
    assert request.header_all("x-both") == ["ours"]
    assert request.header_all("x-forwarded-host") == ["outer.example"]


@pytest.mark.parametrize(
    ("path", "host"), [("/removing", None), ("/literal", "inner.example:8080"), ("/", "test")]
)
def test_host_to_the_upstream(removing: Rig, path: str, host: str | None) -> None:
    removing.origin.requests.clear()
    with removing.connect() as client:
        assert client.get(path).status == 200
    [request] = removing.origin.requests
    assert request.header_all("host") == [host or removing.origin.addr]


@pytest.mark.parametrize(
    ("path", "host"), [("/removing", None), ("/literal", "inner.example:8080")]
)
def test_authority_to_the_upstream(path: str, host: str | None) -> None:
    def script(served: H2Served) -> None:
        while (request := served.request()) is not None:
            names = ",".join(name for name, _ in request.heads[0])
            served.respond(request.stream, f"{request.header(':authority')} {names}".encode())

    settings = {"upstream": 'alpn = "H2"', "more": REMOVING}
    with (
        running(h2_script(script), locations='"removing", "literal", ', **settings) as rig,
        rig.connect() as client,
    ):
        client.send(SENT % path.encode())
        authority, names = client.answer().text.split()
    assert authority == host or rig.origin.addr
    assert "host" not in names.split(",")
    assert ("accept-encoding" in names) is (path == "/literal")


def test_another_peer_gets_its_own_name() -> None:
    def refuse(served: Served) -> None:
        served.read_request()

    location = 'host_header = "upstream"\nmax_retries = 1\nretry_on = ["reset"]'
    with Upstream(refuse) as first, Upstream() as second:
        text = configure(first.addr, second.addr, location=location)
        with unchecked(Proxy(text)) as proxy:
            for _ in range(2):
                assert proxy.get("/").status == 200
    assert {one.header("host") for one in first.requests} == {first.addr}
    assert {one.header("host") for one in second.requests} == {second.addr}
