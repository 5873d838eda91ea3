"""A request that fails leaves nothing for the garbage collector.

An error holds the frames that it passed, and they hold what their callers have: up to 256 KB that were
just read. Collections of old objects are rare, so a client that made requests fail could fill memory.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import suppress

import pytest
from support.rig import configure
from support.waiting import until

from pingap.proxy.exchange import Exchange
from pingap.testing import Proxy, Served, Upstream

MANY = 10


def script(served: Served) -> None:
    """Leave without an answer, or in the middle of one."""
    request = served.read_head()
    if request is not None and request.target == "/half":
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with Upstream(script) as origin, Proxy(configure(origin.addr)) as proxy:
        yield proxy


def exchanges() -> int:
    """Return how many requests are in memory."""
    return sum(type(one) is Exchange for one in gc.get_objects())


@pytest.mark.parametrize(
    "request_text",
    [
        pytest.param(b"GET\r\n\r\n", id="not-a-request"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", id="refused"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="bad-body"
        ),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", id="no-answer"),
        pytest.param(b"GET /half HTTP/1.1\r\nHost: a\r\n\r\n", id="half-an-answer"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf", id="half-a-request"
        ),
    ],
)
def test_requests_that_fail_leave_no_garbage(proxy: Proxy, request_text: bytes) -> None:
    gc.collect()
    gc.disable()
    try:
        for _ in range(MANY):
            with proxy.connect() as client, suppress(AssertionError):
                client.send(request_text)
                client.half_close()
                client.answer()
        until(lambda: not exchanges(), "requests that are over stay in memory")
    finally:
        gc.enable()
