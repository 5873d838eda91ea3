"""Side calls, against a real origin."""

from __future__ import annotations

import anyio
import pytest

from pingap import SideCallError
from pingap.client import HTTPClient, SideCallResponse
from pingap.testing import Served, Upstream


def call(origin: Upstream, method: str = "GET", **options: object) -> SideCallResponse:
    async def run() -> SideCallResponse:
        client = HTTPClient()
        try:
            return await client.request(method, f"http://{origin.addr}/check", **options)  # type: ignore[arg-type]
        finally:
            await client.close()

    return anyio.run(run)


def test_request_brings_status_headers_and_body(upstream: Upstream) -> None:
    def refuse(served: Served) -> None:
        served.read_request()
        served.respond(b"no", "403 Forbidden", headers={"X-Why": "late"})

    upstream.script = refuse
    response = call(upstream, headers={"X-User": "ann"})
    assert (response.status, response.headers["x-why"], response.body) == (403, "late", b"no")
    assert upstream.requests[0].header("x-user") == "ann"


def test_body_is_sent(upstream: Upstream) -> None:
    assert call(upstream, "POST", body=b"hello").body == b"hello"


def test_redirects_are_not_followed(upstream: Upstream) -> None:
    def redirect(served: Served) -> None:
        served.read_request()
        served.respond(b"", "302 Found", headers={"Location": "/elsewhere"})

    upstream.script = redirect
    assert call(upstream).status == 302
    assert len(upstream.requests) == 1


def test_an_answer_that_is_too_large_is_refused(upstream: Upstream) -> None:
    def large(served: Served) -> None:
        served.read_request()
        served.respond(b"x" * 2000)

    upstream.script = large
    with pytest.raises(SideCallError, match="over 1000 bytes"):
        call(upstream, max_body=1000)


def test_no_answer_in_time_is_an_error(upstream: Upstream) -> None:
    def silent(served: Served) -> None:
        served.read_request()
        served.receive()

    upstream.script = silent
    with pytest.raises(SideCallError, match=r"no answer within 0\.1 s"):
        call(upstream, timeout=0.1)


def test_a_refused_connection_is_an_error(upstream: Upstream) -> None:
    upstream.close()
    with pytest.raises(SideCallError, match="GET http://"):
        call(upstream)
