"""Images for tests, drawn here: a photo with much detail, a drawing with few colours, and odd ones."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

from PIL import Image, ImageDraw

PATIENT = {"time_limit": "40s", "timeout": "50s"}
"""Settings for a machine that is busy with other tests."""


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return an image in a file format."""
    made = io.BytesIO()
    image.save(made, kind, **options)
    return made.getvalue()


def opened(data: bytes) -> Image.Image:
    """Return the image in some bytes, decoded."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@lru_cache
def photo(width: int = 320, height: int = 240) -> Image.Image:
    """Return something that is like a photo: soft, with some noise."""
    soft = Image.radial_gradient("L").resize((width, height))
    noise = Image.effect_noise((width // 4, height // 4), 60).resize((width, height))
    other = Image.linear_gradient("L").resize((width, height))
    return Image.merge("RGB", (soft, Image.blend(soft, noise, 0.3), other))


@lru_cache
def drawing(width: int = 320, height: int = 240, mode: str = "RGB") -> Image.Image:
    """Return something that is like a logo: few colours, sharp edges."""
    image = Image.new(mode, (width, height), 0 if mode == "RGBA" else "white")
    draw = ImageDraw.Draw(image)
    for number in range(0, min(width, height) // 2, 9):
        colour = (number * 2 % 256, 80, 255 - number % 200)
        draw.ellipse((number, number, width - number, height - number), outline=colour, width=2)
    return image


@lru_cache
def jpeg(width: int = 320, height: int = 240, quality: int = 92) -> bytes:
    """Return a JPEG that can become smaller."""
    return saved(photo(width, height), "JPEG", quality=quality)


@lru_cache
def png(width: int = 320, height: int = 240, mode: str = "RGB") -> bytes:
    """Return a PNG that can become smaller."""
    return saved(drawing(width, height, mode), "PNG", compress_level=0)


def exif(orientation: int) -> Image.Exif:
    """Return metadata: an orientation, and the name of a camera."""
    made = Image.Exif()
    made[0x0112], made[0x010F] = orientation, "Camera of a private person"
    return made


def animated(kind: str = "PNG") -> bytes:
    """Return an image that moves."""
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "green", "blue")]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:])


def bomb(side: int = 6_000) -> bytes:
    """Return a small PNG with a huge number of pixels."""
    return saved(Image.new("1", (side, side)), "PNG")
