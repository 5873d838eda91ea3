"""The configuration and the walk-through of the page about images do what the page says."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs.blocks import shown_file
from PIL import Image

from pingap.testing import Proxy, Upstream


def photo() -> bytes:
    """Return a large JPEG."""
    soft = Image.radial_gradient("L").resize((1600, 1200))
    made = io.BytesIO()
    Image.merge("RGB", (soft, soft, Image.linear_gradient("L").resize(soft.size))).save(
        made, "JPEG", quality=95
    )
    return made.getvalue()


@pytest.fixture
def site(upstream: Upstream, tmp_path: Path) -> Iterator[Proxy]:
    toml = shown_file("image-optim.md", "pingap.toml")
    for shown, here in (
        ("127.0.0.1:3000", upstream.addr),
        ("127.0.0.1:8080", "127.0.0.1:0"),
        ("/var/cache/pingap", str(tmp_path / "cache")),
        # A machine that runs many tests needs more time, and less work.
        ("sizes = [", 'avif_speed = 7\ntime_limit = "40s"\ntimeout = "50s"\nsizes = ['),
    ):
        assert shown in toml
        toml = toml.replace(shown, here)
    headers = {"Content-Type": "image/jpeg", "Cache-Control": "max-age=60"}
    upstream.reply("/photo.jpg", photo(), headers=headers)
    with Proxy(toml=toml) as proxy:
        yield proxy


def test_the_walk_through(site: Proxy, upstream: Upstream) -> None:
    browser = {"Accept": "image/avif,image/webp,*/*"}
    answer = site.get("/photo.jpg", headers=browser)
    assert answer.header("content-type") == "image/avif"
    assert answer.header("vary") == "Accept"
    assert answer.header("x-cache-status") == "miss"
    body = answer.body
    answer = site.get("/photo.jpg", headers=browser)
    assert (answer.header("x-cache-status"), answer.body) == ("hit", body)
    curl = {"Accept": "*/*"}
    answer = site.get("/photo.jpg", headers=curl)
    assert answer.header("content-type") == "image/jpeg"
    assert len(answer.body) < len(photo())
    for width in (320, 640, 1280):
        answer = site.get(f"/photo.jpg?w={width}", headers=browser)
        with Image.open(io.BytesIO(answer.body)) as image:
            assert image.width == width
    assert site.get("/photo.jpg?w=321", headers=browser).status == 400
    value = site.metrics().value("pingap_image_optim_images_total", outcome="jpeg_to_avif")
    assert value == 4
