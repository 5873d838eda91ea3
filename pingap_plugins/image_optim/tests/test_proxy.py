"""Through a proxy: what clients get, by what they accept and ask for; what stays as it is, and what is counted."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from pictures import PATIENT, animated, bomb, jpeg, opened, png

from pingap.testing import Answer, Proxy, Upstream

CHROMIUM = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
FAST = {"output_types": "avif,webp", "avif_speed": 7, **PATIENT}
JPEG = {"Content-Type": "image/jpeg", "ETag": '"one"', "Accept-Ranges": "bytes"}


def ask(proxy: Proxy, accept: str | None, path: str = "/a", **headers: str) -> Answer:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return proxy.get(path, headers={**fields, **({} if accept is None else {"Accept": accept})})


@pytest.fixture
def images(proxy: Proxy, upstream: Upstream) -> Proxy:
    """A proxy in front of a JPEG at /a and a PNG at /b."""
    upstream.reply("/a", jpeg(), headers=JPEG)
    upstream.reply("/b", png(), headers={"Content-Type": "image/png"})
    proxy.location("/", plugins=[("image_optim", FAST)])
    return proxy


def test_each_client_gets_what_it_accepts(images: Proxy) -> None:
    for accept, kind in (
        (CHROMIUM, "avif"),
        ("image/webp,*/*", "webp"),
        ("image/avif;q=0.2,image/webp;q=0.3", "webp"),
        ("*/*", "jpeg"),
        (None, "jpeg"),
    ):
        answer = ask(images, accept)
        assert (answer.status, answer.header("content-type")) == (200, f"image/{kind}")
        assert opened(answer.body).format == kind.upper()
        assert len(answer.body) < len(jpeg())
        assert answer.header("content-length") == str(len(answer.body))
        assert answer.header("vary") == "Accept"
        assert answer.header("accept-ranges") is None
    metrics = images.metrics()
    for outcome, count in (("jpeg_to_avif", 1), ("jpeg_to_webp", 2), ("jpeg_to_jpeg", 2)):
        found = metrics.value("pingap_image_optim_images_total", outcome=outcome)
        assert found == count
    assert metrics.value("pingap_image_optim_bytes_in_total") == 5 * len(jpeg())


def test_a_png_becomes_webp_of_the_same_pixels(images: Proxy) -> None:
    answer = ask(images, "image/webp", "/b")
    assert opened(answer.body).tobytes() == opened(png()).tobytes()


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("size", [1, 1000, 100_000])
def test_a_body_in_pieces(proxy: Proxy, upstream: Upstream, http2: bool, size: int) -> None:
    body = jpeg()[: len(jpeg())]
    pieces = [body[:1], *(body[at : at + size] for at in range(1, len(body), size))]
    pieces = pieces if size > 1 else [body[:1], body[1:2], body[2:]]
    upstream.stream("/a", lambda: iter(pieces), headers={"Content-Type": "image/jpeg"})
    proxy.configure("servers.web", enabled_h2=http2)
    proxy.location("/", plugins=[("image_optim", FAST)])
    with proxy.connect_http2() if http2 else proxy.connect() as client:
        answer = client.request("GET", "/a", headers={"Accept": "image/webp"})
    assert opened(answer.body).format == "WEBP"


def test_entity_tags_lead_to_304_without_a_conversion(images: Proxy, upstream: Upstream) -> None:
    tag = ask(images, CHROMIUM).header("etag")
    other = ask(images, "image/webp").header("etag")
    assert tag is not None
    assert other is not None
    assert tag.startswith('W/"one-s')
    assert len({tag, other}) == 2
    upstream.reply("/a", status=304, headers={"ETag": '"one"'})
    answer = ask(images, CHROMIUM, if_none_match=f'"x", {tag}')
    assert upstream.requests[-1].header("if-none-match") == '"x", "one"'
    assert (answer.status, answer.header("etag"), answer.header("vary")) == (304, tag, "Accept")
    # The tag of another type is none of what this client would get.
    ask(images, CHROMIUM, if_none_match=other)
    assert upstream.requests[-1].header("if-none-match") == other


def test_a_304_of_something_else_is_not_touched(images: Proxy, upstream: Upstream) -> None:
    upstream.reply("/a", status=304, headers={"ETag": '"two"'})
    answer = ask(images, CHROMIUM, if_none_match='"two"')
    assert (answer.status, answer.header("etag"), answer.header("vary")) == (304, '"two"', None)


def test_head_says_nothing_of_the_original(images: Proxy) -> None:
    answer = images.request("HEAD", "/a", headers={"Accept": CHROMIUM})
    assert answer.status == 200
    assert [answer.header(name) for name in ("content-length", "etag", "vary")] == [
        None,
        None,
        "Accept",
    ]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "image/gif"}, 200),
        ({"Content-Type": "text/html"}, 200),
        ({"Content-Type": "image/jpeg", "Content-Encoding": "br"}, 200),
        ({"Content-Type": "image/jpeg", "Cache-Control": "no-transform"}, 200),
        ({"Content-Type": "image/jpeg", "Content-Disposition": "attachment"}, 200),
        ({"Content-Type": "image/jpeg"}, 404),
        ({"Content-Type": "image/jpeg", "Content-Range": "bytes 0-9/20"}, 206),
    ],
)
def test_other_responses_pass_unchanged(
    proxy: Proxy, upstream: Upstream, headers: dict[str, str], status: int
) -> None:
    upstream.reply("/a", jpeg(), status=status, headers={**headers, "ETag": '"one"'})
    proxy.location("/", plugins=[("image_optim", FAST)])
    answer = ask(proxy, CHROMIUM)
    assert (answer.status, answer.body, answer.header("etag")) == (status, jpeg(), '"one"')


def test_what_the_client_or_the_method_forbids(images: Proxy) -> None:
    assert ask(images, CHROMIUM, cache_control="no-transform").body == jpeg()
    answer = images.request("POST", "/a", headers={"Accept": CHROMIUM}, body=b"x")
    assert answer.body == jpeg()


@pytest.mark.parametrize(
    ("body", "settings", "outcome"),
    [
        (jpeg(quality=5), {}, "not_smaller"),
        (jpeg()[:-3000], {}, "broken"),
        (b"no image", {}, "broken"),
        (animated(), {}, "animated"),
        (bomb(), {}, "too_large"),
        (jpeg(), {"max_pixels": 1000}, "too_large"),
        (jpeg(), {"max_file_size": "1KiB"}, "too_large"),
    ],
)
def test_what_stays_as_it_is(
    proxy: Proxy, upstream: Upstream, body: bytes, settings: dict[str, object], outcome: str
) -> None:
    kind = "image/png" if body.startswith(b"\x89PNG") else "image/jpeg"
    upstream.reply("/a", body, headers={"Content-Type": kind, "ETag": '"one"'})
    upstream.stream("/s", lambda: iter([body[:5], body[5:]]), headers={"Content-Type": kind})
    proxy.configure("servers.web", access_log="{:image_optim.outcome}")
    proxy.location("/", plugins=[("image_optim", {"output_types": "webp", **PATIENT, **settings})])
    for path, tag in (("/a", '"one"'), ("/s", None)):
        answer = ask(proxy, "image/webp;q=0.5,image/*;q=0.5", path)
        assert (answer.status, answer.body, answer.header("etag")) == (200, body, tag)
        assert (answer.header("content-type"), answer.header("vary")) == (kind, "Accept")
    assert proxy.access_log == [outcome, outcome]
    assert proxy.metrics().value("pingap_image_optim_images_total", outcome=outcome) == 2


def test_sizes_in_the_query(proxy: Proxy, upstream: Upstream) -> None:
    settings = {
        "sizes": ["160", "x60", "100x100"],
        "fit": "cover",
        "width_parameter": "width",
        **PATIENT,
    }
    upstream.reply("/a", jpeg(), headers=JPEG)
    upstream.reply("/text", b"some text", headers={"Content-Type": "text/plain"})
    proxy.location("/", plugins=[("image_optim", settings)])
    for query, size in (
        ("width=160", (160, 120)),
        ("h=60", (80, 60)),
        ("width=100&h=100", (100, 100)),
        ("", (320, 240)),
    ):
        answer = ask(proxy, "*/*", f"/a?{query}")
        assert opened(answer.body).size == size
        assert answer.header("vary") is None  # no other type is made
    tags = {ask(proxy, "*/*", f"/a?{query}").header("etag") for query in ("", "h=60", "width=160")}
    assert len(tags) == 3
    answer = ask(proxy, "*/*", "/a?width=161")
    assert answer.status == 400
    assert "161x is not offered" in answer.text
    assert ask(proxy, "*/*", "/text?width=161").body == b"some text"
    assert upstream.requests[-1].target == "/text?width=161"  # the upstream gets all of it


def test_a_body_that_breaks_off_is_no_image(proxy: Proxy, upstream: Upstream) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 5000\r\n\r\n"
    upstream.raw("/a", head, jpeg()[:3000], then="reset")
    proxy.location("/", plugins=[("image_optim", FAST)])
    assert ask(proxy, CHROMIUM).status == 502


def test_two_instances_do_not_harm_each_other(proxy: Proxy, upstream: Upstream) -> None:
    upstream.reply("/a", jpeg(), headers=JPEG)
    proxy.location("/", plugins=[("image_optim", FAST), ("image_optim", FAST)])
    answer = ask(proxy, CHROMIUM)
    assert (answer.header("content-type"), answer.header("vary")) == ("image/avif", "Accept")


def test_while_an_image_is_converted_others_are_served(proxy: Proxy, upstream: Upstream) -> None:
    """The slow one takes some tenths of a second of a processor; many answers come meanwhile."""
    slow = jpeg(640, 480, 95)
    upstream.reply("/slow", slow, headers=JPEG)
    upstream.reply("/text", b"text", headers={"Content-Type": "text/plain"})
    settings = {"output_types": "avif", "avif_speed": 3, **PATIENT}
    proxy.location("/", plugins=[("image_optim", settings)])
    assert proxy.get("/text").status == 200  # so that it is started once
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(ask(proxy, CHROMIUM, "/slow")))
    thread.start()
    count = 0
    with proxy.connect() as client:
        while thread.is_alive():
            assert client.get("/text").body == b"text"
            count += 1
    thread.join()
    assert answers[0].status == 200
    assert count > 20


def test_memory_for_originals_is_bounded(
    proxy: Proxy, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pingap_image_optim.plugin.MOST_HELD", len(jpeg()) + 10)
    go, began = threading.Event(), threading.Event()

    def pieces() -> Iterator[bytes]:
        yield jpeg()[:10]
        began.set()
        go.wait(10)
        yield jpeg()[10:]

    upstream.stream("/slow", pieces, headers={"Content-Type": "image/jpeg"})
    upstream.reply("/a", jpeg(), headers=JPEG)
    proxy.location("/", plugins=[("image_optim", {"max_file_size": len(jpeg()), **PATIENT})])
    with proxy.connect() as client:
        client.send_request("GET", "/slow")
        assert began.wait(10)
        assert ask(proxy, "*/*").body == jpeg()
        go.set()
        assert client.answer().body != jpeg()
    assert ask(proxy, "*/*").body != jpeg()
