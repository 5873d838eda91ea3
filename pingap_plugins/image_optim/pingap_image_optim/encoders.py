"""Encoding an image as AVIF, WebP, JPEG or PNG. Runs in a process of its own."""

from __future__ import annotations

import io
from importlib.util import find_spec
from typing import Any, Final

from PIL import Image, ImageChops, ImageStat, features

from pingap_image_optim.jobs import Job

_USUAL_WEBP: Final = 80  # of a JPEG
LOSSLESS: Final = 100
_PALETTE: Final = 256
SPEED_OFFSET: Final = 3
"""Speed 3 of pingap 0.13.9 (rav1e) corresponds to 6 here: at 3, libaom needs 20 s for two megapixels."""
FASTEST: Final = 10


def has_avif() -> bool:
    """Return whether AVIF can be made: by Pillow itself, or by pillow-avif-plugin."""
    return bool(features.check("avif")) or find_spec("pillow_avif") is not None


def has_webp() -> bool:
    """Return whether WebP can be made."""
    return bool(features.check("webp"))


if not features.check("avif") and has_avif():
    import pillow_avif  # type: ignore[import-not-found, unused-ignore]  # noqa: F401  # it registers itself


def encode(
    image: Image.Image, kind: str, job: Job, profile: bytes | None, *, from_png: bool
) -> bytes:
    """Return an image in a file format, without metadata.

    :param image: in one of the modes L, RGB and RGBA; RGBA not for JPEG.
    :param kind: ``avif``, ``webp``, ``jpeg`` or ``png``.
    :param profile: of its colours; None for sRGB.
    :param from_png: whether the original was a PNG.
    """
    options: dict[str, Any] = {}
    if kind == "avif":
        speed = min(job.avif_speed + SPEED_OFFSET, FASTEST)
        options = {"quality": job.avif_quality, "speed": speed, "max_threads": 1}
    elif kind == "webp":
        quality = job.webp_quality or (LOSSLESS if from_png else _USUAL_WEBP)
        options = {"quality": quality, "lossless": quality == LOSSLESS}
    elif kind == "jpeg":
        options = {"quality": job.jpeg_quality, "optimize": True, "progressive": True}
    else:
        image = _with_palette(image, job.png_quality)
        options = {"optimize": True}
    if profile and image.mode == "L":
        image = image.convert("RGB")
    # A copy without the metadata of the original, which the encoders would take over.
    bare = Image.new(image.mode, image.size)
    if image.mode == "P":
        bare = image.copy()
        bare.info = {key: image.info[key] for key in ("transparency",) if key in image.info}
    else:
        bare.paste(image)
    if profile:
        options["icc_profile"] = profile
    made = io.BytesIO()
    bare.save(made, kind, **options)
    return made.getvalue()


def _with_palette(image: Image.Image, quality: int) -> Image.Image:
    """Return an image with at most 256 colours, if that changes it less than the quality allows."""
    if image.mode == "L" or quality == LOSSLESS:
        return image
    method = Image.Quantize.FASTOCTREE if image.mode == "RGBA" else Image.Quantize.MEDIANCUT
    reduced = image.quantize(_PALETTE, method)
    if _difference(image, reduced.convert(image.mode)) <= _allowed(quality):
        return reduced
    return image


def _difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean square of the differences of two images, with 1 for black and white."""
    squares: float = 0
    if one.mode == "RGBA":  # what is transparent has no colour
        alpha = ImageChops.difference(one.getchannel("A"), other.getchannel("A"))
        squares = ImageStat.Stat(alpha).sum2[0]
        grey = Image.new("RGBA", one.size, (128, 128, 128, 255))
        one = Image.alpha_composite(grey, one).convert("RGB")
        other = Image.alpha_composite(grey, other).convert("RGB")
    squares += sum(ImageStat.Stat(ImageChops.difference(one, other)).sum2) / 3
    return float(squares / (one.width * one.height * 255 * 255))


def _allowed(quality: int) -> float:
    """Return the difference that a quality allows: the scale of pngquant (libimagequant, quality_to_mse)."""
    low = max(0.0, 0.016 / (0.001 + quality) - 0.001)
    return float(low + 2.5 / (210.0 + quality) ** 1.2 * (100.1 - quality) / 100.0)
