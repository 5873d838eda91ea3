"""RFC 9110, 7.6 and 9.3.8: ``Max-Forwards``, ``TRACE`` and ``Via``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.h2 import H2Client, fields
from support.origin import echo
from support.rig import Rig, running

from pingap.http.headers import Headers
from pingap.http.hops import without_credentials


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    location = 'proxy_set_headers = ["X-Api-Key: inner", "X-Set: yes"]'
    server = "enabled_h2 = true"
    with running(location=location, server=server) as rig:
        yield rig
        assert " ERROR " not in rig.proxy.log


@pytest.fixture(scope="module")
def named() -> Iterator[Rig]:
    server = 'via = "edge-1"\nenabled_h2 = true'
    with running(server=server) as rig:
        yield rig


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_max_forwards_is_counted_down(rig: Rig, method: str) -> None:
    with rig.script(echo), rig.connect() as client, H2Client(rig.proxy) as other:
        assert client.request(method, "/", headers={"Max-Forwards": "5"}).status == 200
        assert client.request(method, "/", headers={"Max-Forwards": "1"}).status == 200
        other.headers(1, fields(method, "/", ("max-forwards", "3")))
        assert other.finish(1).status == 200
        assert client.request(method, "/").status == 200  # (which gets none of ours)
        seen = [request.header("max-forwards") for request in rig.origin.requests]
    assert seen == ["4", "0", "2", None]


def test_max_forwards_of_other_methods_is_passed_on(rig: Rig) -> None:
    with rig.script(echo), rig.connect() as client:
        assert client.get("/", headers={"Max-Forwards": "0"}).status == 200
        assert rig.origin.requests[-1].header("max-forwards") == "0"


@pytest.mark.parametrize("target", ["/", "*"])
def test_options_end_here(rig: Rig, target: str) -> None:
    with rig.script(echo), rig.connect() as client:
        answer = client.request("OPTIONS", target, headers={"Max-Forwards": "0"})
        assert (answer.status, answer.body, rig.origin.requests) == (200, b"", [])


def test_a_trace_that_ends_here_is_reflected_without_credentials(rig: Rig) -> None:
    with rig.script(echo), rig.connect() as client:
        answer = client.request(
            "TRACE",
            "/a?b",
            headers={
                "Max-Forwards": "0",
                "Cookie": "a=secret",
                "Authorization": "secret",
                "X-A": "1",
            },
        )
        assert rig.origin.requests == []
    assert (answer.status, answer.header("content-type")) == (200, "message/http")
    assert answer.body.startswith(b"TRACE /a?b HTTP/1.1\r\n")
    assert b"\r\nX-A: 1\r\n" in answer.body
    assert b"secret" not in answer.body


def test_a_trace_is_reflected_with_the_bytes_of_its_target(rig: Rig) -> None:
    with rig.script(echo), rig.connect() as client:
        client.send("TRACE /é HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n".encode())
        assert client.answer().body.startswith("TRACE /é HTTP/1.1\r\n".encode())


def test_a_trace_carries_no_credentials_to_the_upstream(rig: Rig) -> None:
    with rig.script(echo), rig.connect() as client:
        assert (
            client.request("TRACE", "/", headers={"Cookie": "a=b", "Authorization": "x"}).status
            == 200
        )
        [request] = rig.origin.requests
    found = [request.header(name) for name in ("cookie", "authorization", "x-api-key", "x-set")]
    assert found == [None, None, None, "yes"]


def test_a_trace_with_content_is_refused(rig: Rig) -> None:
    with rig.script(echo), rig.connect() as client:
        assert client.request("TRACE", "/", body=b"body").status == 400
        assert rig.origin.requests == []


@pytest.mark.parametrize("value", ["", "-1", "a", "1, 2", "1" * 30])
def test_max_forwards_that_is_no_number_is_refused(rig: Rig, value: str) -> None:
    with rig.connect() as client:
        assert client.request("OPTIONS", "/", headers={"Max-Forwards": value}).status == 400


def test_names_that_look_like_credentials() -> None:
    kept = {"Host": "a", "Accept": "b", "X-Request-Id": "c"}
    secret = {"X-Auth-User": "d", "X-CSRF-Token": "e", "X-Api-Key": "f", "Set-Cookie": "g"}
    assert without_credentials(Headers(kept | secret)) == Headers(kept)


def test_via_passes_unchanged_by_default(rig: Rig) -> None:
    with rig.script(echo), rig.connect() as client:
        client.get("/", headers={"Via": "1.0 fred"})
        client.get("/")
        assert [one.header_all("via") for one in rig.origin.requests] == [["1.0 fred"], []]


def test_a_named_server_adds_itself_to_via(named: Rig) -> None:
    with named.script(echo), named.connect() as client, H2Client(named.proxy) as other:
        assert client.get("/", headers={"Via": "1.0 fred, 1.1 edge-10 (x, edge-1)"}).status == 200
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.answer().status == 200
        assert other.get(1).status == 200
        seen = [request.header_all("via") for request in named.origin.requests]
    first = ["1.0 fred, 1.1 edge-10 (x, edge-1)", "1.1 edge-1"]
    assert seen == [first, ["1.0 edge-1"], ["2.0 edge-1"]]


@pytest.mark.parametrize("via", ["1.1 edge-1", "1.0 fred, HTTP/1.1 EDGE-1 (comment)"])
def test_a_request_that_was_here_before_is_refused(named: Rig, via: str) -> None:
    with named.script(echo), named.connect() as client:
        assert client.get("/", headers={"Via": via}).status == 508
        assert named.origin.requests == []
