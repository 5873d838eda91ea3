"""Files through sockets: what clients get, and under which headers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pingap.testing import Proxy

Site = Callable[..., Proxy]
OLD = 1_700_000_000  # Tue, 14 Nov 2023 22:13:20 GMT
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"


def put(path: Path, content: bytes = b"hello", modified: int = OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (modified, modified))
    return path


def test_a_file_and_its_headers(site: Site, root: Path) -> None:
    put(root / "a.css", b"a {}")
    answer = site().get("/a.css")
    assert (answer.status, answer.body) == (200, b"a {}")
    assert answer.headers["Content-Type"] == "text/css"
    assert answer.headers["Content-Length"] == "4"
    assert answer.headers["Last-Modified"] == DATE
    assert answer.headers["ETag"] == f'"4-{OLD * 10**9:x}"'
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 1_000_000])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_all_sizes_have_their_length(site: Site, root: Path, size: int, method: str) -> None:
    content = os.urandom(size)
    put(root / "f", content)
    answer = site().request(method, "/f")
    assert answer.status == 200
    assert answer.headers["Content-Length"] == str(size)
    assert "Transfer-Encoding" not in answer.headers
    assert answer.body == (content if method == "GET" else b"")


def test_http2_gets_the_same(site: Site, root: Path) -> None:
    content = os.urandom(300_000)
    put(root / "large", content)
    put(root / "small")
    proxy = site()
    proxy.configure("servers.web", enabled_h2=True)
    with proxy.connect_http2() as client:
        streams = [client.send_request("GET", path) for path in ("/large", "/small", "/none")]
        large, small, none = [client.answer(stream) for stream in streams]
    assert large.body == content
    assert small.body == b"hello"
    assert none.status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_not_allowed(site: Site, root: Path, method: str) -> None:
    put(root / "f")
    answer = site().request(method, "/f")
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


def test_indexes_of_all_directories(site: Site, root: Path) -> None:
    put(root / "index.html", b"top")
    put(root / "docs/index.html", b"docs")
    put(root / "empty/.keep")
    proxy = site()
    assert proxy.get("/").body == b"top"
    assert proxy.get("/docs/").body == b"docs"
    assert proxy.get("/docs/").headers["Content-Type"] == "text/html"
    assert proxy.get("/empty/").status == 404
    assert proxy.get("/docs/index.html/").status == 404


def test_the_first_index_that_exists(site: Site, root: Path) -> None:
    put(root / "index.htm", b"old")
    assert site(index=["index.html", "index.htm"]).get("/").body == b"old"


def test_no_index(site: Site, root: Path) -> None:
    put(root / "index.html")
    assert site(index=[]).get("/").status == 404


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/docs", "/docs/"),
        ("/docs?a=b&c", "/docs/?a=b&c"),
        ("/d%C3%B6cs", "/d%C3%B6cs/"),
        ("//docs", "/docs/"),
        ("/x/../docs", "/x/../docs/"),
        ("http://example.com/docs", "/docs/"),
    ],
)
def test_directories_get_their_slash(site: Site, root: Path, target: str, location: str) -> None:
    put(root / "docs/index.html")
    put(root / "döcs/index.html")
    answer = site().get(target)
    assert (answer.status, answer.headers["Location"]) == (301, location)


def test_other_hosts_are_never_redirected_to(site: Site, root: Path) -> None:
    (root / "example.com").mkdir()
    proxy = site()
    for target in ("//example.com", "/\\example.com", "/%5Cexample.com", "//example.com/."):
        location = proxy.get(target).headers.get("Location") or "/"
        assert location[:2] not in ("//", "/\\")


def test_a_redirect_is_to_the_path_that_the_client_knows(proxy: Proxy, root: Path) -> None:
    put(root / "docs/index.html", b"docs")
    proxy.location(
        "/files", plugins=[("directory", {"path": str(root), "strip_prefix": "/files/"})]
    )
    assert proxy.get("/files/docs").headers["Location"] == "/files/docs/"
    assert proxy.get("/files").headers["Location"] == "/files/"
    assert proxy.get("/files/docs/").body == b"docs"
    assert proxy.get("/filesdocs/").status == 404


def test_max_age_is_for_all_sizes_but_not_for_pages(site: Site, root: Path) -> None:
    for name in ("small.js", "small.html"):
        put(root / name)
    for name in ("large.js", "large.html"):
        put(root / name, b"x" * 100_000)
    proxy = site(max_age="1h")
    for path in ("/small.js", "/large.js"):
        assert proxy.get(path).headers["Cache-Control"] == "public, max-age=3600"
    for path in ("/small.html", "/large.html"):
        assert proxy.get(path).headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({"max_age": "1m", "private": True}, "private, max-age=60"),
        ({"max_age": "0s"}, "private, no-cache"),
        ({"max_age": "1m", "headers": ["Cache-Control: no-store"]}, "no-store"),
    ],
)
@pytest.mark.parametrize("size", [1, 100_000])
def test_cache_control(site: Site, root: Path, settings: dict[str, object], value: str, size: int) -> None:  # fmt: skip
    put(root / "a.png", b"x" * size)
    assert site(**settings).get("/a.png").headers.get_all("Cache-Control") == [value]


def test_headers_constant_and_variable(site: Site, root: Path) -> None:
    put(root / "f")
    proxy = site(headers=["Link: </a>", "Link: </b>", "X-Host: $host", "Content-Type: text/x"])
    for _ in range(2):  # found, and from memory
        headers = proxy.get("/f").headers
        assert headers.get_all("Link") == ["</a>", "</b>"]
        assert headers["X-Host"] == "test"
        assert headers["Content-Type"] == "text/x"


def test_types_and_charset(site: Site, root: Path) -> None:
    names = (
        "a.html",
        "a.JS",
        "a.tar.gz",
        "a.md",
        "a.unknown",
        "none",
        ".well-known/x",
        "a.wasm",
        "a.svgz",
    )
    for name in names:
        put(root / name)
    proxy = site(charset="utf-8", mime_types={"md": "text/plain", ".svgz": "image/x"})
    assert [proxy.get(f"/{name}").headers["Content-Type"] for name in names] == [
        "text/html; charset=utf-8",
        "text/javascript; charset=utf-8",
        "application/gzip",
        "text/plain; charset=utf-8",
        "application/octet-stream",
        "application/octet-stream",
        "application/octet-stream",
        "application/wasm",
        "image/x",
    ]


def test_downloads_have_names(site: Site, root: Path) -> None:
    put(root / "report.pdf")
    put(root / 'naïve "€".txt')
    proxy = site(download=True)
    assert (
        proxy.get("/report.pdf").headers["Content-Disposition"]
        == 'attachment; filename="report.pdf"'
    )
    value = proxy.get("/na%C3%AFve%20%22%E2%82%AC%22.txt").headers["Content-Disposition"]
    assert value == (
        "attachment; filename=\"na_ve ___.txt\"; filename*=UTF-8''na%C3%AFve%20%22%E2%82%AC%22.txt"
    )


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b"100%", "/100%25"),
        (b"a b+c", "/a%20b+c"),
        (b"%2e", "/%252e"),
        (b"a?b#c", "/a%3Fb%23c"),
        (b"caf\xe9", "/caf%E9"),
        ("café".encode(), "/caf%C3%A9"),
        (b"line\nbreak", "/line%0Abreak"),
        (b"~user;v=1", "/~user;v=1"),
        (b"\xff\xfe", "/%FF%FE"),
        ("日本".encode("shift_jis"), "/%93%FA%96%7B"),
        (b"...", "/..."),
    ],
)
def test_names_in_any_encoding(site: Site, root: Path, name: bytes, path: str) -> None:
    (root / os.fsdecode(name)).write_bytes(b"found")
    assert site(dot_files=True).get(path).body == b"found"


def test_dot_files_are_not_there(site: Site, root: Path) -> None:
    for name in (".env", ".git/config", "a/.b", ".well-known/security.txt", "a/.well-known/x"):
        put(root / name)
    proxy = site(autoindex=True)
    for path in (
        "/.env",
        "/.git/config",
        "/.git/",
        "/.git",
        "/a/.b",
        "/%2Eenv",
        "/a/.well-known/x",
    ):
        assert proxy.get(path).status == 404, path
    assert proxy.get("/.well-known/security.txt").status == 200


def test_dot_files_if_allowed(site: Site, root: Path) -> None:
    put(root / ".env")
    assert site(dot_files=True).get("/.env").body == b"hello"


@pytest.mark.parametrize(
    "target", ["/../secret", "/a/../../secret", "/..%2Fsecret", "/%2e%2e/secret"]
)
@pytest.mark.parametrize("matching", ["normalised", "raw"])
def test_nothing_above_the_root(site: Site, root: Path, target: str, matching: str) -> None:
    put(root.parent / "secret", b"secret")
    put(root / "a/f")
    proxy = site(dot_files=True)
    proxy.configure("servers.web", path_matching=matching)
    answer = proxy.get(target)
    assert answer.status in (400, 403, 404)
    assert answer.body != b"secret"


def test_the_403_of_raw_paths(site: Site) -> None:
    proxy = site()
    proxy.configure("servers.web", path_matching="raw")
    answer = proxy.get("/../secret<b>")
    assert answer.status == 403
    assert "You do not have permission to access this resource" in answer.text
    assert "<b>" not in answer.text


def test_only_regular_files(site: Site, root: Path) -> None:
    os.mkfifo(root / "fifo")
    assert site().get("/fifo").status == 404


def test_a_file_that_may_not_be_read(site: Site, root: Path) -> None:
    put(root / "f").chmod(0)
    answer = site().get("/f")
    assert answer.status == (200 if os.geteuid() == 0 else 403)


def test_too_long_names(site: Site) -> None:
    proxy = site()
    assert proxy.get("/" + "a" * 300).status == 404
    assert proxy.get("/" + "a/" * 2500).status == 404
