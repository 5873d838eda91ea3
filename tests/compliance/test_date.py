"""RFC 9110, 6.6.1: ``Date`` of answers that have none."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest
from support.h2 import H2Client
from support.rig import Rig, running

from pingap.http.date_field import date_line
from pingap.testing import Served

SET = "Mon, 01 Jan 2024 00:00:00 GMT"
DATED = f"HTTP/1.1 200 OK\r\ndate: {SET}\r\nContent-Length: 2\r\n\r\nok".encode()
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


def script(served: Served) -> None:
    while (request := served.read_request()) is not None:
        if request.target == "/dated":
            served.send(DATED)
        elif request.target == "/hints":
            served.send(HINTS + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        elif request.target == "/304":
            served.send(b"HTTP/1.1 304 Not Modified\r\n\r\n")
        else:
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    more = """
[plugins.mock]
category = "mock"
data = "x"
[locations.mock]
path = "/mock"
plugins = ["mock"]
[locations.dead]
path = "/dead"
upstream = "dead"
[upstreams.dead]
addrs = ["127.0.0.1:1"]
health_check = "none"
"""
    with running(
        script,
        server="enabled_h2 = true",
        more=more,
        locations='"mock", "dead", ',
    ) as rig:
        yield rig


def is_now(date: str | None) -> bool:
    assert date is not None
    assert date.endswith(" GMT")
    age = datetime.datetime.now(datetime.UTC) - parsedate_to_datetime(date)
    return abs(age.total_seconds()) < 10


@pytest.mark.parametrize(
    ("target", "status"),
    [("/", 200), ("/304", 304), ("/mock", 200), ("/dead", 502), ("/hints", 200)],
)
def test_an_answer_without_date_gets_one(rig: Rig, target: str, status: int) -> None:
    with rig.connect() as client:
        client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        answer = client.read_head()
        if answer.status == 103:
            assert answer.headers == [("Link", "</a>")]
            answer = client.read_head()
        assert answer.status == status
        assert len(answer.header_all("date")) == 1
        assert is_now(answer.header("date"))
    with H2Client(rig.proxy) as other:
        found = other.get(1, target)
        assert found.status == status
        assert is_now(found.header("date"))


def test_a_refusal_has_a_date(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        answer = client.answer()
        assert (answer.status, is_now(answer.header("date"))) == (400, True)


def test_the_date_of_the_upstream_stays(rig: Rig) -> None:
    with rig.connect() as client, H2Client(rig.proxy) as other:
        assert client.get("/dated").header_all("date") == [SET]
        assert other.get(1, "/dated").header("date") == SET


def test_the_field_is_written_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 784111777.5)
    first = date_line()
    assert first == b"Date: Sun, 06 Nov 1994 08:49:37 GMT"
    assert date_line() is first
    monkeypatch.setattr(time, "time", lambda: 784111778.0)
    assert date_line().endswith(b"08:49:38 GMT")
