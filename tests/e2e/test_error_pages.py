"""What a client sees when the proxy itself answers with an error."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from support.rig import configure

from pingap.testing import Proxy


def start(template: str = "") -> Proxy:
    basic = f"error_template = '''{template}'''" if template else ""
    location = 'path = "/up"\nclient_max_body_size = "1b"'
    return Proxy(configure("127.0.0.1:1", basic=basic, location=location))


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with start() as running:
        yield running


@pytest.mark.parametrize(
    ("wire", "status", "reason"),
    [
        (b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 404, "Not Found"),
        (b"GET /up HTTP/1.1\r\nHost: a\r\n\r\n", 502, "Bad Gateway"),
        (b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", 413, None),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "Bad Request"),
    ],
)
def test_the_page_is_html(proxy: Proxy, wire: bytes, status: int, reason: str | None) -> None:
    with proxy.connect() as client:
        client.send(wire)
        answer = client.answer()
    assert answer.status == status
    assert answer.reason == (reason or answer.reason)
    assert answer.header("content-type") == "text/html; charset=utf-8"
    assert answer.header("cache-control") == "private, no-store"
    assert answer.body.startswith(b"<!doctype html>")
    assert f"<h1>{status} ".encode() in answer.body
    assert b"{{" not in answer.body


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [
        ("application/json", True),
        ("application/json, text/plain, */*", True),
        ("application/problem+json", True),
        ("application/json, text/html", True),
        ("text/html, application/json", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_who_prefers_json_gets_json(proxy: Proxy, accept: str, is_json: bool) -> None:
    with proxy.connect() as client:
        answer = client.get("/nowhere", headers={"Accept": accept})
    if is_json:
        assert answer.header("content-type") == "application/json; charset=utf-8"
        page = json.loads(answer.body)
        assert (page["status"], page["error"]) == (404, "Not Found")
        assert page["message"]
    else:
        assert answer.header("content-type") == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    "accept", ["application/json;q=0.1, text/html", "application/json;q=0, */*"]
)
def test_weights_of_accept_count(proxy: Proxy, accept: str) -> None:
    with proxy.connect() as client:
        assert (
            client.get("/nowhere", headers={"Accept": accept}).header("content-type")
            == "text/html; charset=utf-8"
        )


def test_nothing_of_the_request_is_in_the_page(proxy: Proxy) -> None:
    with proxy.connect() as client:
        client.send(b"GET /<script>alert(1)</script> HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"script" not in client.answer().body
    with proxy.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: <script>\r\n\r\n")
        assert b"script" not in client.answer().body


def test_a_template_of_html() -> None:
    template = (
        "<b>{{status}}|{{reason}}|{{content}}|{{error_type}}|{{request_id}}|{{version}}</b> {{x}}"
    )
    with start(template) as proxy, proxy.connect() as client:
        answer = client.get("/up", headers={"Accept": "application/json"})
        assert answer.header("content-type") == "text/html; charset=utf-8"
        text = answer.body.decode()
        assert text.startswith("<b>502|Bad Gateway|The upstream server could not answer|Connect")
        assert text.endswith("</b> {{x}}")


def test_a_template_of_json() -> None:
    template = '{"code": {{status}}, "why": "{{content}}", "type": "{{error_type}}"}'
    with start(template) as proxy:
        with proxy.connect() as client:
            answer = client.get("/nowhere", headers={"Accept": "text/html"})
            assert answer.header("content-type") == "application/json; charset=utf-8"
            assert json.loads(answer.body)["code"] == 404
        with proxy.connect() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n")
            assert "Transfer-Encoding" in json.loads(client.answer().body)["why"]


def test_the_page_for_head_has_a_length_and_no_body(proxy: Proxy) -> None:
    with proxy.connect() as client:
        head = client.request("HEAD", "/nowhere")
        body = client.get("/nowhere").body
        assert head.header("content-length") == str(len(body))


def test_http_1_0_gets_the_page_too(proxy: Proxy) -> None:
    with proxy.connect() as client:
        client.send(b"GET /nowhere HTTP/1.0\r\n\r\n")
        answer = client.answer()
        assert (answer.status, answer.complete) == (404, True)
        assert client.is_closed()
