"""Chromium shows the images: in each type, in their size and with their colours, turned as they should be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pictures import PATIENT, exif, png, saved
from PIL import Image
from support.certificates import issue
from support.chromium import PROGRAM, chromium
from support.waiting import until

from pingap.testing import Proxy, Upstream

pytestmark = pytest.mark.skipif(
    PROGRAM is None and "CI" not in os.environ, reason="needs Chromium: apt-get install chromium"
)
PAGE = b"""<!doctype html><title>page</title>
<img src="/avif/turned.jpg"><img src="/webp/turned.jpg"><img src="/jpeg/turned.jpg">
<img src="/avif/drawing.png?w=160"><img src="/webp/drawing.png?w=160"><img src="/png/drawing.png">
"""
LOADED = "[...document.images].every((image) => image.complete)"
SIZES = "[...document.images].map((image) => [image.naturalWidth, image.naturalHeight])"
CORNERS = """
[...document.images].slice(0, 3).map((image) => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    return [...context.getImageData(10, 10, 1, 1).data].map((one) => Math.round(one / 64) * 64);
})
"""
TYPES = """
Promise.all([...document.images].map(async (image) => {
    const answer = await fetch(image.src, {headers: {Accept: 'image/avif,image/webp,*/*'}});
    return answer.headers.get('Content-Type');
}))
"""


@pytest.mark.timeout(120)
def test_a_browser_shows_all_of_them(proxy: Proxy, upstream: Upstream, tmp_path: Path) -> None:
    picture = Image.new("RGB", (400, 200), "red")
    picture.paste("blue", (0, 0, 100, 100))  # at the top left, and then turned
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    data = saved(turned, "JPEG", quality=100, subsampling=0, exif=exif(6))
    upstream.reply("/", PAGE, headers={"Content-Type": "text/html"})
    for kind in ("avif", "webp", "jpeg", "png"):
        types = kind if kind in ("avif", "webp") else ""
        settings = {"output_types": types, "avif_speed": 7, "sizes": ["160"], **PATIENT}
        proxy.location(f"/{kind}/", plugins=[("image_optim", settings)])
        upstream.reply(f"/{kind}/turned.jpg", data, headers={"Content-Type": "image/jpeg"})
        upstream.reply(f"/{kind}/drawing.png", png(), headers={"Content-Type": "image/png"})
    proxy.location("/", plugins=[])
    with proxy, chromium(tmp_path / "browser", issue("localhost"), 110) as browser:
        browser.open(f"http://127.0.0.1:{proxy.port()}/")
        until(lambda: browser.value("document.title") == "page")
        until(lambda: browser.value(LOADED), 60)
        assert browser.value(SIZES) == [[400, 200]] * 3 + [[160, 120]] * 2 + [[320, 240]]
        assert browser.value(CORNERS) == [[0, 0, 256, 256]] * 3
        kinds = ["avif", "webp", "jpeg", "avif", "webp", "png"]
        assert browser.value(TYPES) == [f"image/{kind}" for kind in kinds]
    asked = [one for one in upstream.requests if one.path == "/avif/turned.jpg"]
    assert "image/avif" in str(asked[0].header("accept"))  # as the browser asks by itself
