"""``asgi_read_timeout``: an application that does not answer."""

from __future__ import annotations

import time
from collections.abc import Callable

import asgi_raw
import pytest

from pingap.testing import Proxy, configuration_problems

Serve = Callable[..., Proxy]


def test_an_application_that_never_answers_is_cancelled(serve: Serve) -> None:
    proxy = serve("asgi_raw:stuck", asgi_read_timeout="200ms")
    with proxy.connect() as client:
        for _ in range(2):
            answer = client.request("POST", "/", body=b"x" * 100_000)
            assert (answer.status, answer.header("x-pingap-etype")) == (504, "ReadTimedout")
    assert asgi_raw.went.wait(10)
    assert asgi_raw.seen[0] == "cancelled"


def test_a_response_that_stops_stays_incomplete(serve: Serve) -> None:
    proxy = serve("asgi_raw:stuck", asgi_read_timeout="200ms")
    answer = proxy.get("/half")
    assert (answer.status, answer.body, answer.complete) == (200, b"half", False)
    assert asgi_raw.went.wait(10)


def test_waiting_for_the_client_does_not_count(serve: Serve) -> None:
    proxy = serve("asgi_raw:echo", asgi_read_timeout="100ms")
    with proxy.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n1")
        assert client.read_until(b"\r\n") == b"HTTP/1.1 200 OK\r\n"
        time.sleep(0.4)  # longer than the limit
        client.send(b"2")
        assert client.read_until(b"0\r\n\r\n").endswith(b"0\r\n\r\n")


def test_work_after_the_response_is_not_cancelled(serve: Serve) -> None:
    proxy = serve("asgi_raw:stuck", asgi_read_timeout="100ms")
    assert proxy.get("/late").body == b"ok"
    assert not asgi_raw.went.wait(0.4)
    asgi_raw.go.set()
    proxy.stop()
    assert asgi_raw.seen == ["done"]


@pytest.mark.parametrize("value", ["0s", "-1s"])
def test_it_is_longer_than_nothing(value: str) -> None:
    toml = f'[locations.a]\nasgi = "asgi_raw:echo"\nasgi_read_timeout = "{value}"\n'
    assert any("asgi_read_timeout" in problem for problem in configuration_problems(toml))
