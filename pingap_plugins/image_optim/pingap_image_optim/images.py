"""What becomes of one image: it is checked, turned, resized and encoded. Runs in a process of its own."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageOps

from pingap_image_optim.encoders import encode
from pingap_image_optim.jobs import (
    ANIMATED,
    BROKEN,
    COLOURS,
    NOT_SMALLER,
    TOO_LARGE,
    Job,
    Reply,
)

LEAST_SAVING: Final = 0.05
"""An image that keeps its size is worth re-encoding if it becomes smaller by this share."""
_ORIENTATION: Final = 0x0112
_TURNED: Final = (5, 6, 7, 8)  # of orientations: width and height change places
_LARGEST_PROFILE: Final = 64 * 1024
_USUAL_GAMMA: Final = 1 / 2.2

Image.MAX_IMAGE_PIXELS = None  # ``max_pixels`` is checked instead


class UnchangedError(Exception):
    """The image stays as it is; the argument says why."""


def convert(data: bytes, job: Job) -> Reply:
    """Return the image that a client gets, or why it gets the original."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            return _convert(image, data, job)
    except UnchangedError as reason:
        return Reply(str(reason))
    except MemoryError:
        return Reply(TOO_LARGE, detail="memory")
    except Exception as error:  # decoders raise nearly anything; the original is sent
        return Reply(BROKEN, detail=f"{type(error).__name__}: {error}"[:200])


def _convert(image: Image.Image, data: bytes, job: Job) -> Reply:
    is_png = image.format == "PNG"
    if image.width * image.height > job.max_pixels:
        raise UnchangedError(TOO_LARGE)
    if is_png and getattr(image, "is_animated", False):
        raise UnchangedError(ANIMATED)
    profile = _profile(image, data)
    orientation = _orientation(image)
    if job.is_resizing and not is_png:
        # Half, a quarter or an eighth of a JPEG is decoded faster than all of it.
        sides = (job.width or image.width, job.height or image.height)
        image.draft(None, sides[::-1] if orientation in _TURNED else sides)
    image.load()
    before = image.size
    pixels = _resized(_plain(ImageOps.exif_transpose(image) if orientation != 1 else image), job)
    reduced = job.is_resizing and sorted(pixels.size) != sorted(before)
    most = len(data) - 1 if reduced else int(len(data) * (1 - LEAST_SAVING))
    original = "png" if is_png else "jpeg"
    return _smaller(
        pixels, [*(job.of_png if is_png else job.of_jpeg), original], job, profile, most
    )


def _smaller(
    pixels: Image.Image, kinds: Sequence[str], job: Job, profile: bytes | None, most: int
) -> Reply:
    """Encode an image with the first type that makes it small enough.

    :param most: bytes that it may have.
    """
    original = kinds[-1]
    for kind in kinds:
        if kind == "jpeg" and "A" in pixels.getbands():
            continue  # transparent
        body = encode(pixels, kind, job, profile, from_png=original == "png")
        if len(body) <= most:
            return Reply(kind, body)
    raise UnchangedError(NOT_SMALLER)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, upright, if it cannot be read, as browsers do."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a malformed block says nothing; the image itself may be sound
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _profile(image: Image.Image, data: bytes) -> bytes | None:
    """Return the colour profile that has to stay with the image; None if it is sRGB.

    :raises UnchangedError: the colours would be others.
    """
    info = image.info
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):  # CMYK, 16 bits
        raise UnchangedError(COLOURS)
    profile: bytes | None = info.get("icc_profile")
    if profile:
        if b"sRGB" in profile or "sRGB".encode("utf-16-be") in profile:
            return None
        if profile[16:20] != b"RGB " or len(profile) > _LARGEST_PROFILE:
            raise UnchangedError(COLOURS)
        return profile
    gamma = info.get("gamma")
    if (gamma and "srgb" not in info and abs(gamma - _USUAL_GAMMA) > 0.01) or b"cICP" in data[:256]:
        raise UnchangedError(COLOURS)
    return None


def _plain(image: Image.Image) -> Image.Image:
    """Return an image in one of the modes L, RGB and RGBA."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        least = image.getchannel("A").getextrema()[0]
        return image.convert("RGB") if least == 255 else image
    if image.mode in ("1", "L") or (image.mode == "LA"):
        return image.convert("L")
    return image.convert("RGB")


def _resized(image: Image.Image, job: Job) -> Image.Image:
    """Return an image that fits the size of a job. It is never enlarged."""
    if job.cover and job.width and job.height:
        scale = min(1.0, image.width / job.width, image.height / job.height)
        size = (max(1, round(job.width * scale)), max(1, round(job.height * scale)))
        return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    if job.is_resizing:
        image = image.copy()
        sides = (job.width or image.width, job.height or image.height)
        image.thumbnail(sides, Image.Resampling.LANCZOS)
    return image
