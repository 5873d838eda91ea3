"""What becomes of images: types, sizes, orientation, metadata, colours; and of what is no image."""

from __future__ import annotations

import random
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import animated, bomb, drawing, exif, jpeg, opened, photo, png, saved
from PIL import Image, ImageChops, ImageCms, ImageStat
from pingap_image_optim.images import convert
from pingap_image_optim.jobs import Job


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return how much two images differ: 0 to 255."""
    found = ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean
    return sum(found) / len(found)


@pytest.mark.parametrize("kind", ["avif", "webp", "jpeg"])
def test_a_jpeg_becomes_smaller_and_looks_the_same(kind: str) -> None:
    types = () if kind == "jpeg" else (kind,)
    reply = convert(jpeg(), Job(of_jpeg=types, avif_speed=7))
    assert reply.outcome == kind
    assert len(reply.body) < len(jpeg())
    made = opened(reply.body)
    assert (made.format, made.size) == (kind.upper(), (320, 240))
    assert difference(made, photo()) < 10  # (colours have half the resolution)


@pytest.mark.parametrize("kind", ["webp", "png", "jpeg", "avif"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_png_becomes_smaller_and_keeps_its_transparency(kind: str, mode: str) -> None:
    data = saved(drawing().convert("L"), "PNG", compress_level=0) if mode == "L" else png(mode=mode)
    types = () if kind == "png" else (kind,)
    reply = convert(data, Job(of_png=types, avif_speed=7))
    made = opened(reply.body)
    if mode == "RGBA" and kind == "jpeg":
        assert reply.outcome == "png"  # a JPEG has no transparency
    if mode == "RGBA":
        assert made.convert("RGBA").getchannel("A").getextrema() == (0, 255)
        assert difference(made.convert("RGBA").getchannel("A"), opened(data).getchannel("A")) < 2
    else:
        assert reply.outcome == kind
        assert difference(made, opened(data)) < 10


def test_webp_of_a_png_loses_nothing_unless_a_quality_is_given() -> None:
    for quality in (0, 100):
        reply = convert(png(), Job(of_png=("webp",), webp_quality=quality))
        assert difference(opened(reply.body), drawing()) == 0
    reply = convert(png(), Job(of_png=("webp",), webp_quality=50))
    assert difference(opened(reply.body), drawing()) > 0


def test_quality_counts() -> None:
    def size(**keys: int) -> int:
        return len(convert(jpeg(), Job(of_jpeg=types, **keys)).body)

    types: tuple[str, ...] = ()
    assert size(jpeg_quality=30) < size(jpeg_quality=80)
    types = ("webp",)
    assert size(webp_quality=30) < size(webp_quality=80)
    types = ("avif",)
    assert size(avif_quality=30, avif_speed=7) < size(avif_quality=75, avif_speed=7)


def test_a_photo_as_png_keeps_its_colours_where_a_palette_would_show() -> None:
    data = saved(photo(), "PNG", compress_level=1)
    kept = convert(data, Job(png_quality=100))
    reduced = convert(data, Job(png_quality=20))
    assert opened(kept.body).mode == "RGB"
    assert opened(reduced.body).mode == "P"
    assert difference(opened(kept.body), photo()) == 0
    assert len(reduced.body) < len(kept.body)


def test_the_next_type_is_tried_if_one_is_not_smaller() -> None:
    data = saved(Image.new("RGB", (64, 64), "red"), "PNG", compress_level=0)
    tiny = convert(data, Job(of_png=("avif", "webp"), avif_speed=7))
    assert tiny.outcome == "avif"
    small = saved(drawing(), "PNG", optimize=True)
    reply = convert(small, Job(of_png=("avif", "webp"), avif_quality=100, avif_speed=7))
    assert reply.outcome == "webp"


@pytest.mark.parametrize("data", [jpeg(quality=20), saved(Image.new("1", (1, 1)), "PNG")])
def test_what_would_not_be_smaller_stays(data: bytes) -> None:
    reply = convert(data, Job(jpeg_quality=90))
    assert (reply.outcome, reply.body) == ("not_smaller", b"")


@pytest.mark.parametrize(
    ("job", "size"),
    [
        (Job(width=160), (160, 120)),
        (Job(height=60), (80, 60)),
        (Job(width=100, height=100), (100, 75)),
        (Job(width=100, height=100, cover=True), (100, 100)),
        (Job(width=100, cover=True), (100, 75)),
        (Job(width=400, height=100, cover=True), (320, 80)),
        (Job(width=1000), (320, 240)),
    ],
)
def test_sizes(job: Job, size: tuple[int, int]) -> None:
    for data in (jpeg(), png(mode="RGBA")):
        assert opened(convert(data, job).body).size == size


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("resized", [False, True])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_image_is_turned_as_its_metadata_say(orientation: int, resized: bool, kind: str) -> None:
    upright = Image.new("RGB", (64, 32), "red")
    upright.paste("blue", (0, 0, 32, 16))  # at the top left
    upright = upright.resize((640, 320), Image.Resampling.NEAREST)
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(turn[orientation]) if orientation in turn else upright
    options = {"quality": 100} if kind == "JPEG" else {"compress_level": 0}
    data = saved(stored, kind, exif=exif(orientation), **options)
    job = Job(of_jpeg=("webp",), of_png=("webp",), width=160 if resized else 0)
    made = opened(convert(data, job).body)
    assert made.size == ((160, 80) if resized else (640, 320))
    assert difference(made, upright.resize(made.size)) < 5


@pytest.mark.parametrize("types", [("avif",), ("webp",), ()])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_metadata_are_dropped(kind: str, types: tuple[str, ...]) -> None:
    options = {"quality": 100} if kind == "JPEG" else {"compress_level": 0}
    image = photo() if kind == "JPEG" else drawing()
    data = saved(image, kind, exif=exif(1), xmp=b"<private/>", comment=b"private", **options)
    assert b"private" in data
    made = convert(data, Job(of_jpeg=types, of_png=types, avif_speed=7)).body
    assert made
    assert b"private" not in made
    assert not opened(made).getexif()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_metadata_do_no_harm() -> None:
    data = saved(photo(), "JPEG", quality=92, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xff" * 30)
    assert convert(data, Job()).outcome == "jpeg"


@pytest.mark.parametrize("kind", ["avif", "webp", "jpeg", "png"])
def test_other_colour_spaces_stay_with_the_image(kind: str) -> None:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    other = bytes(profile).replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be"))
    job = Job(of_png=(kind,) if kind != "png" else (), avif_speed=7)
    for mode in ("RGB", "L"):
        image = drawing().convert(mode)
        data = saved(image, "PNG", compress_level=0, icc_profile=other)
        made = convert(data, job)
        assert made.outcome == kind
        assert opened(made.body).info.get("icc_profile") == other
        data = saved(image, "PNG", compress_level=0, icc_profile=bytes(profile))
        assert "icc_profile" not in opened(convert(data, job).body).info


def chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    checksum = zlib.crc32(name + content)
    return struct.pack("!I", len(content)) + name + content + struct.pack("!I", checksum)


def with_chunk(name: bytes, content: bytes) -> bytes:
    data = saved(drawing(), "PNG", compress_level=0)
    return data[:33] + chunk(name, content) + data[33:]


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        (animated(), "animated"),
        (saved(photo().convert("CMYK"), "JPEG"), "colours"),
        (saved(photo().convert("I;16"), "PNG"), "colours"),
        (with_chunk(b"gAMA", struct.pack("!I", 100_000)), "colours"),
        (with_chunk(b"cICP", b"\x09\x10\0\1"), "colours"),
        (with_chunk(b"gAMA", struct.pack("!I", 45_455)), "png"),
        (bomb(), "too_large"),
        (b"", "broken"),
        (b"GIF89a", "broken"),
        (animated("GIF"), "broken"),
        (saved(photo(), "WEBP"), "broken"),
        (b"<svg/>", "broken"),
        (jpeg()[:-2000], "broken"),
        (png()[:500], "broken"),
        (b"\xff\xd8" + jpeg()[100:], "broken"),
    ],
)
def test_what_stays_as_it_is(data: bytes, outcome: str) -> None:
    assert convert(data, Job(of_jpeg=("webp",))).outcome == outcome


def test_pixels_are_counted_exactly() -> None:
    assert convert(jpeg(), Job(max_pixels=320 * 240)).outcome == "jpeg"
    assert convert(jpeg(), Job(max_pixels=320 * 240 - 1)).outcome == "too_large"


def test_a_photo_with_a_second_picture_is_a_photo() -> None:
    """As telephones write them, with a map for bright screens (MPO)."""
    frames = [photo(), photo().resize((80, 60))]
    data = saved(frames[0], "MPO", save_all=True, append_images=frames[1:], quality=95)
    reply = convert(data, Job(of_jpeg=("webp",)))
    assert reply.outcome == "webp"
    assert opened(reply.body).size == (320, 240)


def test_a_palette_with_transparency() -> None:
    image = drawing().quantize(16)
    data = saved(image, "PNG", transparency=0, compress_level=0)
    made = opened(convert(data, Job(of_png=("webp",))).body)
    assert made.mode == "RGBA"
    assert made.getchannel("A").getextrema() == (0, 255)


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from((jpeg(64, 48), png(64, 48))))
def test_damaged_images_give_a_reply(rng: random.Random, data: bytes) -> None:
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 20)):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    reply = convert(bytes(damaged[: rng.randint(1, len(damaged))]), Job(of_jpeg=("webp",)))
    assert bool(reply.body) == (reply.outcome in ("webp", "jpeg", "png"))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 80), st.integers(1, 80), st.sampled_from(("RGB", "RGBA", "L", "LA", "P", "1")),
    st.sampled_from(("webp", "jpeg", "png")), st.integers(0, 50), st.integers(0, 50), st.booleans(),
)  # fmt: skip
def test_a_result_is_never_larger_and_fits(
    width: int, height: int, mode: str, kind: str, most_wide: int, most_high: int, cover: bool
) -> None:
    data = saved(drawing(width, height).convert(mode), "PNG", compress_level=0)
    reply = convert(data, Job(of_png=(kind,), width=most_wide, height=most_high, cover=cover))
    if not reply.body:
        assert reply.outcome == "not_smaller"
        return
    assert len(reply.body) < len(data)
    made = opened(reply.body)
    assert made.width <= (most_wide or 80)
    assert made.height <= (most_high or 80)
