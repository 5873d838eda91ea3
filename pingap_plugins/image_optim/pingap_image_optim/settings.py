"""What an operator may say about images: the keys of the plugin's table, checked."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator
from pydantic import Field as SettingsField

from pingap import ByteSize, Duration, PluginSettings
from pingap_image_optim.accept import TYPES
from pingap_image_optim.encoders import has_avif, has_webp
from pingap_image_optim.plans import parse_size

PLUGIN_SECONDS: Final = 10.0
"""How long a plugin may take for a response, unless ``timeout`` says otherwise."""

MARGIN: Final = 1.0
"""Seconds of that which are left when a client has waited for its image."""

Quality = Annotated[int, SettingsField(ge=1, le=100)]
Parameter = Annotated[str, SettingsField(pattern=r"^[A-Za-z0-9_.~-]+$")]


def parse_types(text: str) -> tuple[str, ...]:
    """Read a list of types such as ``avif,webp``.

    :raises ValueError: an unknown one, or one that Pillow cannot make here.
    """
    names = [one.strip().lower() for one in text.split(",")]
    for name in filter(None, names):
        if name not in TYPES:
            hint = "; write jpeg" if name == "jpg" else ""
            raise ValueError(f'found "{name}", expected {", ".join(TYPES)}{hint}')
        if name == "avif" and not has_avif():
            raise ValueError(
                "this Pillow makes no AVIF: install one of its wheels, or pillow-avif-plugin"
            )
        if name == "webp" and not has_webp():
            raise ValueError("this Pillow makes no WebP: install one of its wheels")
    return tuple(dict.fromkeys(filter(None, names)))


def _check_types(text: str) -> str:
    parse_types(text)
    return text


def _check_size(text: str) -> str:
    parse_size(text)
    return text


class ImageSettings(PluginSettings):
    """Settings of ``image_optim``."""

    output_types: Annotated[str, AfterValidator(_check_types)] = ""
    """Types that images become, separated by commas, in order of preference: ``avif``, ``webp``, ``jpeg``, ``png``.
    The ``Accept`` of the client decides. Empty: images keep their type."""
    png_quality: Quality = 90
    """How well PNGs keep their colours: below 100, at most 256 of them if the difference is small enough."""
    jpeg_quality: Quality = 80
    """Quality of JPEGs."""
    avif_quality: Quality = 75
    """Quality of AVIF."""
    avif_speed: Annotated[int, SettingsField(ge=1, le=10)] = 3
    """How fast AVIF is made: 1 is slow and small, 7 and more is fastest."""
    webp_quality: Quality | None = None
    """Quality of WebP; 100 is without loss. By default, PNGs become WebP without loss, and JPEGs at 80."""
    sizes: list[Annotated[str, AfterValidator(_check_size)]] = SettingsField(default=[])
    """Sizes that clients may ask for in the query, such as ``"640"`` (width), ``"x480"`` (height) or
    ``"640x480"`` (both). Images are never enlarged."""
    width_parameter: Parameter = "w"
    """Parameter of the query that contains the width."""
    height_parameter: Parameter = "h"
    """Parameter of the query that contains the height."""
    fit: Literal["contain", "cover"] = "contain"
    """For sizes with width and height: ``contain`` fits the whole image in, ``cover`` fills the size and
    cuts the rest off."""
    max_file_size: ByteSize = 10 * 1024 * 1024
    """Larger images stay as they are."""
    max_pixels: Annotated[int, SettingsField(ge=1)] = 25_000_000
    """Images with more pixels (width times height) are not decoded, and stay as they are."""
    time_limit: Duration = 8.0
    """How long a client waits for an image at most; afterwards it gets the original."""
    processes: Annotated[int, SettingsField(ge=0, le=64)] = 0
    """Processes of each worker that convert images; 0: as many as there are processors for each worker."""
