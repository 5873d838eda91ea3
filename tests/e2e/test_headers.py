"""What happens to header fields on their way, in both directions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.rig import Rig, running

from pingap.testing import Served

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
