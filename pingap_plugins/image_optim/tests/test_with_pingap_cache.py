"""With pingap-cache in the same location, in memory and on a disk: each variant is made once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pictures import PATIENT, jpeg, opened

from pingap.testing import Answer, Proxy, Received, Served, Upstream

pytest.importorskip("pingap_cache", reason="pingap-cache is not installed")

CHROMIUM = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
FIREFOX = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
OPTIM = ("image_optim", {"output_types": "avif,webp", "avif_speed": 7, "sizes": ["160"], **PATIENT})
JPEG = {"Content-Type": "image/jpeg", "ETag": '"one"', "Cache-Control": "max-age=60"}


@pytest.fixture(params=["memory", "disk"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, object]]:
    """A cache in memory, and one on a disk."""
    directory = {} if request.param == "memory" else {"directory": str(tmp_path / "cache")}
    return "cache", {"lock": "8s", **directory}


def ask(proxy: Proxy, accept: str, path: str = "/", **headers: str) -> Answer:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return proxy.get(path, headers={"Accept": accept, **fields})


def made(proxy: Proxy) -> float:
    """Return how many images were made."""
    metrics = proxy.metrics()
    kinds = ("avif", "webp", "jpeg")
    values = [
        metrics.value("pingap_image_optim_images_total", outcome=f"jpeg_to_{kind}")
        for kind in kinds
    ]
    return sum(filter(None, values))


@pytest.mark.parametrize("first", [True, False])
def test_each_variant_is_made_once_for_clients_of_all_kinds(
    proxy: Proxy, upstream: Upstream, cache: tuple[str, dict[str, object]], first: bool
) -> None:
    upstream.reply("/", jpeg(), headers=JPEG)
    proxy.location("/", plugins=[OPTIM, cache] if first else [cache, OPTIM])
    for _ in range(2):
        for accept, kind in (
            (CHROMIUM, "avif"),
            (FIREFOX, "avif"),
            ("image/avif,image/webp", "avif"),
            ("image/webp", "webp"),
            ("image/webp,*/*;q=0.1", "webp"),
            ("*/*", "jpeg"),
            ("text/html", "jpeg"),
        ):
            answer = ask(proxy, accept)
            assert answer.header("content-type") == f"image/{kind}"
            assert opened(answer.body).format == kind.upper()
            assert answer.header("vary") == "Accept"
    assert made(proxy) == 3
    assert len(upstream.requests) == 3
    for _ in range(2):
        assert opened(ask(proxy, CHROMIUM, "/?w=160").body).size == (160, 120)
    assert made(proxy) == 4


def test_a_size_that_the_cache_ignores_in_the_query(proxy: Proxy, upstream: Upstream) -> None:
    upstream.reply("/", jpeg(), headers=JPEG)
    proxy.location("/", plugins=[OPTIM, ("cache", {"query_ignore": ["w"]})])
    for _ in range(2):
        for query, width in (("", 320), ("?w=160", 160)):
            assert opened(ask(proxy, CHROMIUM, f"/{query}").body).width == width
    assert made(proxy) == 2


def test_clients_that_ask_at_the_same_time_share_one_conversion(
    proxy: Proxy, upstream: Upstream, cache: tuple[str, dict[str, object]]
) -> None:
    go = threading.Event()

    def handle(served: Served, request: Received) -> None:
        served.wait(go)
        served.respond(jpeg(), headers=JPEG)

    upstream.on("/", handle)
    proxy.location("/", plugins=[OPTIM, cache])
    clients = [proxy.connect() for _ in range(5)]
    try:
        for client in clients:
            client.send_request("GET", "/", headers={"Accept": "image/webp"})
        upstream.wait_for_request()
        go.set()
        answers = [client.answer() for client in clients]
    finally:
        for client in clients:
            client.close()
    assert len({answer.body for answer in answers}) == 1
    assert opened(answers[0].body).format == "WEBP"
    assert made(proxy) == len(upstream.requests) == 1


def test_a_client_that_has_the_image_gets_304(
    proxy: Proxy, upstream: Upstream, cache: tuple[str, dict[str, object]]
) -> None:
    upstream.reply("/", jpeg(), headers=JPEG)
    proxy.location("/", plugins=[OPTIM, cache])
    tag = ask(proxy, CHROMIUM).header("etag")
    assert tag is not None
    answer = ask(proxy, FIREFOX, if_none_match=tag)
    assert (answer.status, answer.header("etag"), answer.header("vary")) == (304, tag, "Accept")
    assert len(upstream.requests) == 1
    assert ask(proxy, "*/*", if_none_match=tag).status == 200


def test_a_stale_image_is_validated_and_not_made_again(proxy: Proxy, upstream: Upstream) -> None:
    def handle(served: Served, request: Received) -> None:
        headers = {**JPEG, "Cache-Control": "max-age=0, must-revalidate"}
        if request.header("if-none-match") == '"one"':
            served.respond(b"", 304, headers=headers)
        else:
            served.respond(jpeg(), headers=headers)

    upstream.on("/", handle)
    proxy.location("/", plugins=[OPTIM, ("cache", {})])
    bodies = [ask(proxy, CHROMIUM).body for _ in range(3)]
    assert len(set(bodies)) == 1
    assert opened(bodies[0]).format == "AVIF"
    assert [one.header("if-none-match") for one in upstream.requests] == [None, '"one"', '"one"']
    assert made(proxy) == 1


def test_a_refused_size_keeps_nobody_waiting(
    proxy: Proxy, upstream: Upstream, cache: tuple[str, dict[str, object]]
) -> None:
    upstream.reply("/", jpeg(), headers=JPEG)
    proxy.location("/", plugins=[OPTIM, cache])
    assert [ask(proxy, CHROMIUM, "/?w=1").status for _ in range(3)] == [400] * 3
