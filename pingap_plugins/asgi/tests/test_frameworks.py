"""Starlette, FastAPI and Django behind the proxy."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import asgi_raw
import asgi_starlette
import pytest

from pingap.testing import Proxy

Serve = Callable[..., Proxy]
UPLOAD = (
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
    + bytes(200_000)
    + b"\r\n--B--\r\n"
)
MULTIPART = {"Content-Type": "multipart/form-data; boundary=B"}


@pytest.fixture
def starlette(serve: Serve) -> Proxy:
    return serve("asgi_starlette:app", asgi_lifespan="on")


def test_starlette_answers(starlette: Proxy) -> None:
    assert starlette.get("/").text == "hello"
    assert starlette.get("/none").status == 404
    assert starlette.request("DELETE", "/").status == 405
    assert starlette.request("HEAD", "/").header("content-length") == "5"
    assert starlette.get("/stream").text == "".join(f"{n}\n" for n in range(100))


def test_starlette_reads_uploads(starlette: Proxy) -> None:
    answer = starlette.request("POST", "/form", headers=MULTIPART, body=UPLOAD)
    assert answer.json() == {"name": "a.bin", "size": 200_000}


def test_starlette_sends_files(starlette: Proxy) -> None:
    text = Path(asgi_starlette.__file__).read_bytes()
    assert starlette.get("/file").body == text
    part = starlette.get("/file", headers={"Range": "bytes=3-9"})
    assert (part.status, part.body) == (206, text[3:10])


def test_starlette_makes_links(serve: Serve) -> None:
    proxy = serve("asgi_starlette:app", path="/api", asgi_root_path="/api")
    answer = proxy.get("/api/url", headers={"Host": "shop.test"}, client_ip="192.0.2.7").json()
    assert (answer["url"], answer["for"]) == ("http://shop.test/api/url", "http://shop.test/api/")
    answer = proxy.get("/api/sub/url", headers={"Host": "shop.test"}).json()
    assert answer["url"] == "http://shop.test/api/sub/url"


def test_starlette_notices_the_end_of_a_client(starlette: Proxy) -> None:
    with starlette.connect() as client:
        client.send_request("GET", "/endless")
        client.read_head()
    assert asgi_raw.went.wait(20)
    assert asgi_raw.seen == ["up", "ended"]


def test_starlette_works_after_the_answer(starlette: Proxy) -> None:
    assert starlette.get("/background").text == "later"
    assert asgi_raw.went.wait(20)
    starlette.stop()
    assert asgi_raw.seen == ["up", "background", "down"]


def test_starlette_fails(starlette: Proxy) -> None:
    answer = starlette.get("/boom")
    assert (answer.status, answer.text) == (500, "Internal Server Error")  # its own page
    starlette.wait_for_log("no such shelf")
    starlette.expect_error("no such shelf")


def test_starlette_chats(starlette: Proxy) -> None:
    with starlette.connect_websocket("/chat") as chat:
        chat.send("hello")
        assert chat.receive() == "HELLO"


def test_fastapi(serve: Serve) -> None:
    proxy = serve("asgi_fastapi:app")
    body = json.dumps({"name": "lamp", "price": 20}).encode()
    headers = {"Content-Type": "application/json"}
    answer = proxy.request("POST", "/items", headers=headers, body=body, client_ip="192.0.2.7")
    assert answer.status == 201
    assert answer.json() == {"item": {"name": "lamp", "price": 20.0}, "client": "192.0.2.7"}
    assert proxy.request("POST", "/items", headers=headers, body=b"{}").status == 422
    assert proxy.get("/blocking").json() == {"ran": "in a thread"}
    assert proxy.get("/openapi.json").json()["info"]["title"] == "Shop"
    large = proxy.get("/large", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(large.body) == b'"' + b"x" * 10_000 + b'"'


def test_django(serve: Serve) -> None:
    proxy = serve("asgi_django:app", asgi_lifespan="auto")
    assert proxy.get("/sync/?a=b").text == "GET /sync/ b"
    assert proxy.get("/stream/").text == "012"
    answer = proxy.get("/later/", client_ip="192.0.2.7", headers={"X-Forwarded-Proto": "https"})
    assert answer.json() == {"address": "192.0.2.7", "secure": True}
    body = (
        UPLOAD[:-7]
        + b'\r\n--B\r\nContent-Disposition: form-data; name="name"\r\n\r\nann\r\n--B--\r\n'
    )
    assert proxy.request("POST", "/post/", headers=MULTIPART, body=body).text == "ann 1"
    assert proxy.get("/boom/").status == 500
    assert proxy.get("/none/").status == 404
