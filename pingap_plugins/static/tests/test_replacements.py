"""What is sent in place of a file: compressed ones, the page of an app, pages of errors."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pingap.testing import Proxy

Site = Callable[..., Proxy]
OLD = 1_700_000_000


def put(path: Path, content: bytes, modified: int = OLD) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (modified, modified))


@pytest.fixture
def compressed(root: Path) -> Path:
    for suffix in ("", ".br", ".zst", ".gz"):
        put(root / f"app.js{suffix}", b"js" + suffix.encode())
    return root


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("gzip;q=1, br;q=0.5", "gzip"),
        ("zstd, gzip;q=0.9", "zstd"),
        ("br;q=0, *", "zstd"),
        ("identity, gzip;q=0.5", None),
        ("gzip;q=0", None),
        ("", None),
        (None, None),
    ],
)
def test_the_coding_that_the_client_wants_most(
    site: Site, compressed: Path, accepted: str | None, coding: str | None
) -> None:
    suffix = {"br": ".br", "zstd": ".zst", "gzip": ".gz", None: ""}[coding]
    proxy = site()
    for _ in range(2):
        answer = proxy.get("/app.js", headers={} if accepted is None else {"Accept-Encoding": accepted})  # fmt: skip
        assert answer.body == b"js" + suffix.encode()
        assert answer.headers.get("Content-Encoding") == coding
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert answer.headers["Content-Type"] == "text/javascript"


def test_each_coding_has_its_entity_tag(site: Site, compressed: Path) -> None:
    proxy = site()
    tags = {coding: proxy.get("/app.js", headers={"Accept-Encoding": coding}).headers["ETag"] for coding in ("br", "zstd", "gzip", "x")}  # fmt: skip
    assert len(set(tags.values())) == 4
    fields = {"Accept-Encoding": "br", "If-None-Match": tags["br"]}
    assert proxy.get("/app.js", headers=fields).status == 304
    fields["If-None-Match"] = tags["gzip"]
    assert proxy.get("/app.js", headers=fields).status == 200


def test_a_compressed_file_may_be_asked_for(site: Site, compressed: Path) -> None:
    answer = site().get("/app.js.gz")
    assert (answer.body, answer.headers["Content-Type"]) == (b"js.gz", "application/gzip")
    assert "Content-Encoding" not in answer.headers


def test_an_older_one_was_made_of_something_else(site: Site, compressed: Path) -> None:
    put(compressed / "app.js", b"new", OLD + 10)
    put(compressed / "app.js.gz", b"new.gz", OLD + 20)
    assert site().get("/app.js", headers={"Accept-Encoding": "gzip, br"}).body == b"new.gz"


def test_large_ones_and_ranges_of_them(site: Site, root: Path) -> None:
    put(root / "a.js", b"x" * 200_000)
    put(root / "a.js.br", b"y" * 100_000 + b"z")
    proxy = site()
    answer = proxy.get("/a.js", headers={"Accept-Encoding": "br", "Range": "bytes=-2"})
    assert (answer.status, answer.body) == (206, b"yz")
    assert answer.headers["Content-Encoding"] == "br"
    assert proxy.get("/a.js", headers={"Accept-Encoding": "br"}).body == b"y" * 100_000 + b"z"


def test_none_if_not_wanted(site: Site, compressed: Path) -> None:
    answer = site(precompressed=False).get("/app.js", headers={"Accept-Encoding": "br"})
    assert answer.body == b"js"
    assert "Vary" not in answer.headers


def test_one_alone_is_no_file(site: Site, root: Path) -> None:
    put(root / "a.js.gz", b"gz")
    assert site().get("/a.js", headers={"Accept-Encoding": "gzip"}).status == 404


@pytest.fixture
def app(root: Path) -> Path:
    put(root / "index.html", b"app")
    put(root / "assets/a.js", b"js")
    (root / "empty").mkdir()
    return root


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/", "*/*", 200),
        ("/orders/7", "*/*", 200),
        ("/orders/7/", None, 200),
        ("/users/jane.doe", "text/html,*/*;q=0.8", 200),
        ("/empty/", "*/*", 200),
        ("/assets/a.js", "*/*", 200),
        ("/assets/gone.js", "*/*", 404),
        ("/logo.png", "image/*", 404),
    ],
)
def test_the_page_of_an_app(site: Site, app: Path, path: str, accept: str | None, status: int) -> None:  # fmt: skip
    answer = site(fallback="/index.html", max_age="1h").get(path, headers={"Accept": accept} if accept else {})  # fmt: skip
    assert answer.status == status
    if status == 200 and path != "/assets/a.js":
        assert answer.body == b"app"
        assert answer.headers["Cache-Control"] == "private, no-cache"


def test_the_page_of_an_app_is_revalidated(site: Site, app: Path) -> None:
    proxy = site(fallback="/index.html")
    tag = proxy.get("/orders").headers["ETag"]
    assert proxy.get("/orders", headers={"If-None-Match": tag}).status == 304


def test_pages_of_errors(site: Site, app: Path) -> None:
    put(app / "404.html", b"not here")
    put(app / "errors/405.html", b"no")
    put(app / "416.html", b"x" * 100_000)
    pages = {"404": "/404.html", "405": "/errors/405.html", "416": "/416.html"}
    proxy = site(error_pages=pages, max_age="1h")
    answer = proxy.get("/none")
    assert (answer.status, answer.body) == (404, b"not here")
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert "ETag" not in answer.headers
    answer = proxy.request("POST", "/")
    assert (answer.status, answer.body, answer.headers["Allow"]) == (405, b"no", "GET, HEAD")
    for _ in range(2):
        answer = proxy.get("/assets/a.js", headers={"Range": "bytes=5-"})
        assert (answer.status, answer.body) == (416, b"x" * 100_000)
        assert answer.headers["Content-Range"] == "bytes */2"
    assert proxy.get("/404.html").status == 200


def test_a_page_that_is_lost_is_logged_and_replaced(site: Site, app: Path) -> None:
    put(app / "404.html", b"not here")
    proxy = site(error_pages={"404": "/404.html"}, fallback="/404.html")
    assert proxy.get("/x").status == 200
    (app / "404.html").unlink()
    assert proxy.get("/x").status == 404
    assert "the page for 404 cannot be read" in proxy.log
