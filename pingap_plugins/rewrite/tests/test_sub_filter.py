"""``sub_filter`` through sockets."""

from __future__ import annotations

import gzip
import threading
import zlib

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from pingap_content.decoders import Limits, decoder
from pingap_content.encoders import encoder

from pingap.testing import Proxy, Upstream, configuration_problems

HTML = {"Content-Type": "text/html; charset=utf-8"}
LINK = "sub_filter 'http://old.example' 'https://new.example' g"
PAGE = b"<a href='http://old.example/a'>a</a> <a href='http://old.example/b'>b</a>"
CHANGED = PAGE.replace(b"http://old.example", b"https://new.example")
COMPRESS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}


def plain(coding: str, body: bytes) -> bytes:
    made = decoder(coding, Limits(0, 100_000))
    data = made.feed(body)
    assert made.is_complete
    return data


@pytest.fixture
def site(proxy: Proxy, upstream: Upstream) -> Proxy:
    proxy.location("/", plugins=[("sub_filter", {"filters": [LINK]})])
    return proxy


def test_a_page(site: Proxy, upstream: Upstream) -> None:
    upstream.reply(
        "/",
        PAGE,
        headers={**HTML, "ETag": '"a"', "Accept-Ranges": "bytes", "Digest": "x", "X-CaSe": "y"},
    )
    answer = site.get("/")
    assert answer.body == CHANGED
    assert answer.header("content-length") == str(len(CHANGED))
    assert answer.header("etag") == 'W/"a"'
    assert answer.header("accept-ranges") is answer.header("digest") is None
    assert ("X-CaSe", "y") in list(answer.headers)
    assert site.metrics().value("pingap_sub_filter_replaced_total") == 2
    head = site.request("HEAD", "/")
    assert (head.header("etag"), head.header("content-length")) == ('W/"a"', None)


@pytest.mark.parametrize("coding", list(COMPRESS))
def test_codings_are_kept(coding: str, site: Proxy, upstream: Upstream) -> None:
    body = PAGE * 1000
    headers = {**HTML, "Content-Encoding": coding}
    upstream.reply("/", COMPRESS[coding](PAGE), headers=headers)
    upstream.reply("/large", COMPRESS[coding](body), headers=headers)
    for path, expected in (("/", CHANGED), ("/large", CHANGED * 1000)):
        answer = site.get(path)
        assert (answer.header("content-encoding"), answer.complete) == (coding, True)
        assert plain(coding, answer.body) == expected


@pytest.mark.parametrize("coding", ["", "gzip", "br", "zstd"])
def test_streams_leave_at_once(coding: str, site: Proxy, upstream: Upstream) -> None:
    more = threading.Event()
    encode = encoder(coding, 3, None) if coding else None

    def events() -> object:
        for text in (b"data: http://old.example/1\n\n", b"data: http://old.example/2\n\n"):
            yield text if encode is None else encode.compress(text) + encode.flush()
            more.wait(20)
        if encode is not None:
            yield encode.finish()

    headers = {
        "Content-Type": "text/event-stream",
        **({"Content-Encoding": coding} if coding else {}),
    }
    upstream.stream("/", events, headers=headers)
    decode = decoder(coding, Limits(0, 1000)) if coding else None
    with site.connect() as client:
        client.send_request("GET", "/")
        client.read_head()
        seen = b""
        while len(seen) < 28:
            piece = client.read_some()
            assert piece
            seen += piece if decode is None else decode.feed(piece)
        assert seen == b"data: https://new.example/1\n\n"
        more.set()
        rest = client.read_rest()
        assert (rest if decode is None else decode.feed(rest)) == b"data: https://new.example/2\n\n"


def test_expressions_in_streams_see_lines(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/", plugins=[("sub_filter", {"filters": ["subs_filter 'a(.)' '<$1>' g"]})])
    more = threading.Event()

    def events() -> object:
        yield b"data: ab\n\n"
        more.wait(20)
        yield b"data: ac\n\n"

    upstream.stream("/", events, headers={"Content-Type": "text/event-stream"})
    with proxy.connect() as client:
        client.send_request("GET", "/")
        client.read_head()
        assert client.read_some() == b"d<t><:> <b>\n\n"
        more.set()
        assert client.read_rest() == b"d<t><:> <c>\n\n"


def test_a_match_across_chunks(site: Proxy, upstream: Upstream) -> None:
    upstream.stream("/", lambda: iter([b"<a http://old", b".exam", b"ple/x>"]), headers=HTML)
    assert site.get("/").body == b"<a https://new.example/x>"


@pytest.mark.parametrize("size", [100, 100_000])
def test_expressions_in_long_bodies(size: int, proxy: Proxy, upstream: Upstream) -> None:
    rules = [r"subs_filter 'id=\d+' 'id=N' g", "sub_filter 'N' 'M' g", "sub_filter 'end' 'END'"]
    proxy.location("/", plugins=[("sub_filter", {"filters": rules})])
    body = b"<p id=123>" * (size // 10) + b"end end"
    expected = b"<p id=M>" * (size // 10) + b"END end"
    upstream.reply("/", body, headers=HTML)
    upstream.reply("/gzip", gzip.compress(body), headers={**HTML, "Content-Encoding": "gzip"})
    assert proxy.get("/").body == expected
    assert plain("gzip", proxy.get("/gzip").body) == expected


@pytest.mark.parametrize(
    ("path", "status", "headers"),
    [
        ("/image", 200, {"Content-Type": "image/png"}),
        ("/none", 200, {}),
        ("/part", 206, {**HTML, "Content-Range": "bytes 0-1/9"}),
        ("/unknown", 200, {**HTML, "Content-Encoding": "x-own"}),
        ("/two", 200, {**HTML, "Content-Encoding": "gzip, br"}),
        ("/utf16", 200, {"Content-Type": "text/html; charset=utf-16"}),
        ("/status", 500, HTML),
        ("/other", 200, HTML),
    ],
)
def test_what_stays_as_it_is(
    path: str, status: int, headers: dict[str, str], proxy: Proxy, upstream: Upstream
) -> None:
    settings = {"filters": [LINK], "status_codes": "2xx, 404", "path": "^/[^o]"}
    proxy.location("/", plugins=[("sub_filter", settings)])
    upstream.reply(path, PAGE, status, headers={**headers, "ETag": '"a"'})
    answer = proxy.get(path)
    assert (answer.status, answer.body, answer.header("etag")) == (status, PAGE, '"a"')
    assert answer.header("content-length") == str(len(PAGE))


def test_304_has_the_weak_tag(site: Proxy, upstream: Upstream) -> None:
    upstream.reply("/", b"", 304, headers={"ETag": '"a"'})
    assert site.get("/", headers={"If-None-Match": 'W/"a"'}).header("etag") == 'W/"a"'


def test_headers(proxy: Proxy, upstream: Upstream) -> None:
    settings = {"filters": [LINK], "headers": ["Location", "Set-Cookie"]}
    proxy.location("/", plugins=[("sub_filter", settings)])
    fields = [
        ("Location", "http://old.example/x"), ("Set-Cookie", "a=b"),
        ("Set-Cookie", "c=http://old.example"), ("Link", "<http://old.example>"),
    ]  # fmt: skip
    upstream.reply("/", b"", 302, headers=fields)
    answer = proxy.get("/")
    assert answer.header("location") == "https://new.example/x"
    assert answer.headers.get_all("set-cookie") == ["a=b", "c=https://new.example"]
    assert answer.header("link") == "<http://old.example>"


def test_a_page_in_another_character_set(proxy: Proxy, upstream: Upstream) -> None:
    rule = "sub_filter 'müde' '€' g"
    proxy.location("/", plugins=[("sub_filter", {"filters": [rule], "charset": "iso-8859-2"})])
    upstream.reply("/", "müde".encode("iso-8859-2"), headers={"Content-Type": "text/html"})
    upstream.reply("/plain", "müde".encode("iso-8859-2"), headers={"Content-Type": "text/plain"})
    assert proxy.get("/").body == b"&#8364;"
    assert proxy.get("/plain").body == "müde".encode("iso-8859-2")
    skipped = proxy.metrics().value("pingap_sub_filter_skipped_total", reason="charset")
    assert skipped == 1


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Content-Type": "text/html; charset=utf-16"}, "character set 'utf-16'"),
        (
            {"Content-Type": "text/html", "Content-Encoding": "gzip, br"},
            "content coding 'gzip, br'",
        ),
        ({"Content-Type": "text/html", "Content-Encoding": "lzma"}, "content coding 'lzma'"),
    ],
)
def test_what_cannot_be_searched_is_logged_once(
    proxy: Proxy, upstream: Upstream, headers: dict[str, str], reason: str
) -> None:
    proxy.location("/", plugins=[("sub_filter", {"filters": ["sub_filter 'a' 'b' g"]})])
    upstream.reply("/", b"aaa", headers=headers)
    assert [proxy.get("/").body for _ in range(3)] == [b"aaa"] * 3
    assert proxy.log.count(reason) == 1
    assert "location root: the response to / is not searched" in proxy.log


@pytest.mark.parametrize("cut", [3, -3])
def test_broken_codings_never_look_whole(cut: int, site: Proxy, upstream: Upstream) -> None:
    body = gzip.compress(PAGE)
    body = b"xxx" + body[3:] if cut > 0 else body[:cut]
    upstream.reply("/", body, headers={**HTML, "Content-Encoding": "gzip"})
    assert site.get("/").status == 502
    site.wait_for_log("cannot be changed")


def test_bombs_are_refused(proxy: Proxy, upstream: Upstream) -> None:
    for path, ratio in (("/strict", 100), ("/lenient", 2000)):
        settings = {"filters": [LINK], "max_decompression_ratio": ratio}
        proxy.location(path, plugins=[("sub_filter", settings)])
        body = gzip.compress(b"a" * 3_000_000, mtime=0)
        upstream.reply(path, body, headers={**HTML, "Content-Encoding": "gzip"})
    assert proxy.get("/strict").status == 502
    proxy.wait_for_log("more than 100 times its size")
    assert plain("gzip", proxy.get("/lenient").body) == b"a" * 3_000_000


def test_growth_ends_the_response(proxy: Proxy, upstream: Upstream) -> None:
    rules = [f"sub_filter 'a' '{'b' * 1000}' g", f"sub_filter 'b' '{'c' * 1000}' g"]
    proxy.location("/", plugins=[("sub_filter", {"filters": rules})])
    upstream.reply("/", b"a" * 100, headers=HTML)
    assert proxy.get("/").status == 502
    proxy.wait_for_log("the replacements in one chunk have more than")


def test_two_instances_and_compression(proxy: Proxy, upstream: Upstream) -> None:
    upstream.reply("/", PAGE, headers=HTML)
    proxy.location(
        "/",
        plugins=[
            ("sub_filter", {"filters": ["sub_filter 'old' 'mid' g"]}),
            ("sub_filter", {"filters": ["sub_filter 'mid' 'new' g"]}),
            ("compression", {"gzip_level": 6}),
        ],
    )
    answer = proxy.get("/", headers={"Accept-Encoding": "gzip"})
    assert plain("gzip", answer.body) == PAGE.replace(b"old", b"new")


def problems(keys: str) -> list[str]:
    return configuration_problems(f'[plugins.p]\ncategory = "sub_filter"\n{keys}\n')


@pytest.mark.parametrize(
    "keys",
    [
        "",
        'path = "^/a"\nstatus_codes = "200,404"\nfilters = ["sub_filter \'a\' \'b\'"]',
        'types = ["*/*"]\nwindow = "1MiB"\ncharset = "koi8-r"\nheaders = ["Location"]',
    ],
)
def test_keys(keys: str) -> None:
    assert problems(keys) == []


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('filters = ["sub_filter a b"]', "pingap.toml:3: plugins.p.filters[0]: found"),
        ('status_codes = "20, x"', 'status_codes: found "20", expected 100 to 599, or 2xx'),
        ('path = "("', "pingap.toml:3: plugins.p.path: "),
        ('types = ["text"]', 'found "text", expected a media type'),
        ('charset = "utf-16"', "cannot be used"),
        ("window = 10", "found 10, expected 1KiB to 16MiB"),
        ('headers = ["a b"]', "is not a header name"),
        ("headers = [\"a\"]\nfilters = [\"sub_filter 'a' '\\n'\"]", "is invalid in a header"),
    ],
)
def test_mistakes(keys: str, told: str) -> None:
    found = problems(keys)
    assert any(told in one for one in found), found
