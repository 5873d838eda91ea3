"""Side calls, against a real origin."""

from __future__ import annotations

import anyio
import pytest
from support.origin import Origin, Served

from pingap import SideCallError
from pingap.client import HTTPClient, SideCallResponse


def call(origin: Origin, method: str = "GET", **options: object) -> SideCallResponse:
    async def run() -> SideCallResponse:
        client = HTTPClient()
        try:
            return await client.request(method, f"http://{origin.addr}/check", **options)  # type: ignore[arg-type]
        finally:
            await client.close()

    return anyio.run(run)


def test_request_brings_status_headers_and_body(origin: Origin) -> None:
    def refuse(served: Served) -> None:
        served.read_request()
        served.respond(b"no", "403 Forbidden", headers={"X-Why": "late"})

    origin.script = refuse
    response = call(origin, headers={"X-User": "ann"})
    assert (response.status, response.headers["x-why"], response.body) == (403, "late", b"no")
    assert origin.requests[0].header("x-user") == "ann"


def test_body_is_sent(origin: Origin) -> None:
    assert call(origin, "POST", body=b"hello").body == b"hello"


def test_redirects_are_not_followed(origin: Origin) -> None:
    def redirect(served: Served) -> None:
        served.read_request()
        served.respond(b"", "302 Found", headers={"Location": "/elsewhere"})

    origin.script = redirect
    assert call(origin).status == 302
    assert len(origin.requests) == 1


def test_an_answer_that_is_too_large_is_refused(origin: Origin) -> None:
    def large(served: Served) -> None:
        served.read_request()
        served.respond(b"x" * 2000)

    origin.script = large
    with pytest.raises(SideCallError, match="over 1000 bytes"):
        call(origin, max_body=1000)


def test_no_answer_in_time_is_an_error(origin: Origin) -> None:
    def silent(served: Served) -> None:
        served.read_request()
        served.receive()

    origin.script = silent
    with pytest.raises(SideCallError, match=r"no answer within 0\.1 s"):
        call(origin, timeout=0.1)


def test_a_refused_connection_is_an_error(origin: Origin) -> None:
    origin.close()
    with pytest.raises(SideCallError, match="GET http://"):
        call(origin)
