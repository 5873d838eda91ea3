"""RFC 9110, 6.5, 6.6.2 and 10.1.4: trailers, ``Trailer`` and ``TE``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.h2 import END_HEADERS, H2Client, fields
from support.h2_origin import H2Served, h2_script
from support.rig import Rig, running

from pingap.testing import Served, Upstream

CHUNKED = b"Transfer-Encoding: chunked\r\n"
UNWANTED = [
    "Content-Length: 2", "Content-Type: a/b", "Set-Cookie: a=b", "Cache-Control: no-store", "Host: b",
    "Authorization: x", "Trailer: y", "X-Forwarded-For: 192.0.2.1", "Transfer-Encoding: chunked",
]  # fmt: skip


def script(served: Served) -> None:
    """Answer with the trailers that ``X-Send`` has."""
    while (request := served.read_request()) is not None:
        names = request.header("x-send") or ""
        trailers = "".join(f"{line}\r\n" for line in names.split("|") if line)
        announced = "Trailer: X-Sum, Content-Length\r\n" if trailers else ""
        served.send(
            f"HTTP/1.1 200 OK\r\n{announced}".encode()
            + CHUNKED
            + f"\r\n2\r\nok\r\n0\r\n{trailers}\r\n".encode()
        )


def h2_origin(served: H2Served) -> None:
    while (request := served.request()) is not None:
        name, _, value = (request.header("x-send") or "").partition(": ")
        trailers = [("grpc-status", "0"), (name.lower(), value)]
        served.respond(request.stream, b"ok", trailers=trailers)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Upstream(h2_script(h2_origin)) as other:
        more = f"""
[upstreams.h2]
addrs = ["{other.addr}"]
health_check = "none"
alpn = "H2"
[locations.h2]
path = "/h2"
upstream = "h2"
"""
        with running(
            script,
            server="enabled_h2 = true",
            more=more,
            locations='"h2", ',
        ) as rig:
            yield rig
            assert " ERROR " not in rig.proxy.log


@pytest.mark.parametrize("unwanted", UNWANTED)
def test_trailers_of_an_answer_that_may_not_be_there_are_dropped(rig: Rig, unwanted: str) -> None:
    with rig.connect() as client, H2Client(rig.proxy) as other:
        answer = client.get("/", headers={"X-Send": f"{unwanted}|X-Sum: 1"})
        assert (answer.status, answer.body, answer.trailers) == (200, b"ok", [("X-Sum", "1")])
        answer = client.get("/", headers={"X-Send": unwanted})
        assert (answer.body, answer.complete, answer.trailers) == (b"ok", True, [])
        found = other.get(1, "/", ("x-send", f"{unwanted}|X-Sum: 1"))
        assert (found.status, found.body, found.trailers) == (200, b"ok", [("x-sum", "1")])
        found = other.get(3, "/", ("x-send", unwanted))
        assert (found.body, found.reset) == (b"ok", None)


@pytest.mark.parametrize("unwanted", [one for one in UNWANTED if "Transfer" not in one])
def test_trailers_of_a_stream_that_may_not_be_there_are_dropped(rig: Rig, unwanted: str) -> None:
    with rig.connect() as client, H2Client(rig.proxy) as other:
        answer = client.get("/h2", headers={"X-Send": unwanted})
        assert (answer.body, answer.trailers) == (b"ok", [("grpc-status", "0")])
        found = other.get(1, "/h2", ("x-send", unwanted))
        assert (found.body, found.trailers) == (b"ok", [("grpc-status", "0")])


@pytest.mark.parametrize("unwanted", UNWANTED)
def test_trailers_of_a_request_that_may_not_be_there_are_dropped(rig: Rig, unwanted: str) -> None:
    rig.origin.requests.clear()
    with rig.connect() as client:
        end = f"2\r\nhi\r\n0\r\n{unwanted}\r\nX-Sum: 1\r\n\r\n".encode()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + CHUNKED + b"\r\n" + end)
        assert client.answer().status == 200
    [request] = rig.origin.requests
    assert (request.body, request.trailers) == (b"hi", [("X-Sum", "1")])


def test_trailers_of_a_streamed_request_that_may_not_be_there_are_dropped(rig: Rig) -> None:
    rig.origin.requests.clear()
    with H2Client(rig.proxy) as client:
        client.headers(1, fields("POST"), END_HEADERS)
        client.data(1, b"hi")
        client.headers(1, [("content-type", "a/b"), ("x-sum", "1")])
        assert client.finish(1).status == 200
    [request] = rig.origin.requests
    assert request.trailers == [("x-sum", "1")]


def test_a_long_answer_is_complete_without_its_trailers() -> None:
    size = 300_000

    def long(served: Served) -> None:
        served.read_request()
        body = b"%x\r\n%b\r\n" % (size, b"x" * size)
        served.send(b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n" + body)
        served.send(b"0\r\nCache-Control: no-store\r\n\r\n")

    with running(long) as rig, rig.connect() as client:
        answer = client.get("/", headers={"Connection": "close"})
        assert (len(answer.body), answer.complete) == (size, True)


def test_an_answer_announces_only_trailers_that_may_come(rig: Rig) -> None:
    with rig.connect() as client, H2Client(rig.proxy) as other:
        assert client.get("/", headers={"X-Send": "X-Sum: 1"}).header("trailer") == "X-Sum"
        assert other.get(1, "/", ("x-send", "X-Sum: 1")).header("trailer") == "X-Sum"
        client.send(b"GET / HTTP/1.0\r\nX-Send: X-Sum: 1\r\n\r\n")
        answer = client.answer()  # there are no trailers in HTTP/1.0
        assert (answer.header("trailer"), answer.body) == (None, b"ok")


def test_a_request_announces_its_trailers(rig: Rig) -> None:
    rig.origin.requests.clear()
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum, Host\r\n"
    with rig.connect() as client, H2Client(rig.proxy) as other:
        client.send(head + CHUNKED + b"\r\n0\r\nX-Sum: 1\r\n\r\n")
        assert client.answer().status == 200
        other.headers(1, fields("POST", "/", ("trailer", "X-Sum")), END_HEADERS)
        other.headers(1, [("x-sum", "1")])
        assert other.finish(1).status == 200
        client.send(head + b"Content-Length: 1\r\n\r\na")
        assert client.answer().status == 200
    seen = [request.header("trailer") for request in rig.origin.requests]
    assert seen == ["X-Sum", "X-Sum", None]


@pytest.mark.parametrize(
    ("te", "connection", "passed"),
    [
        ("trailers", "TE", True),
        ("trailers", "close", True),
        ("deflate, trailers;q=0.5", "TE", True),
        ("gzip", "TE", False),
        ("", "TE", False),
    ],
)
def test_only_trailers_of_te_reach_the_upstream(
    rig: Rig, te: str, connection: str, passed: bool
) -> None:
    rig.origin.requests.clear()
    with rig.connect() as client:
        assert client.get("/", headers={"TE": te, "Connection": connection}).status == 200
    [request] = rig.origin.requests
    seen = (request.header("te"), request.header("connection"))
    assert seen == (("trailers", "TE") if passed else (None, None))


def test_te_of_a_stream_reaches_the_upstream(rig: Rig) -> None:
    rig.origin.requests.clear()
    with H2Client(rig.proxy) as client:
        assert client.get(1, "/", ("te", "trailers")).status == 200
    [request] = rig.origin.requests
    assert (request.header("te"), request.header("connection")) == ("trailers", "TE")
