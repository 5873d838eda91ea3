"""Settings: what is wrong is told with its place; what is probably wrong is told by lint."""

from __future__ import annotations

import sys

import pytest
from pingap_image_optim import encoders, settings
from pingap_image_optim.plugin import ImageOptim

from pingap.testing import configuration_problems

TABLE = '[plugins.images]\ncategory = "image_optim"\n'


def problem(line: str) -> str:
    [found] = configuration_problems(TABLE + line)
    return found


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('output_types = "avif,gif"', 'found "gif", expected avif, webp, jpeg, png'),
        ('output_types = "webp,jpg"', 'found "jpg", expected avif, webp, jpeg, png; write jpeg'),
        ('output_types = ["webp"]', "output_types"),
        ("png_quality = 0", "png_quality"),
        ("jpeg_quality = 101", "jpeg_quality"),
        ("avif_quality = '75'", "avif_quality"),
        ("avif_speed = 11", "avif_speed"),
        ('sizes = ["640", "big"]', 'found "big", expected pixels'),
        ('sizes = ["0x0"]', 'found "0x0"'),
        ('width_parameter = "a b"', "width_parameter"),
        ('height_parameter = "w"', "width_parameter and height_parameter are the same"),
        ('fit = "fill"', "fit"),
        ('time_limit = "9.5s"', "time_limit = 9.5s is too long: it has to be 1 s shorter"),
        ("processes = -1", "processes"),
        ("quality = 80", "unknown key"),
    ],
)
def test_mistakes(line: str, told: str) -> None:
    found = problem(line)
    assert found.startswith("pingap.toml:")
    assert "plugins.images" in found
    assert told in found


def test_a_longer_time_limit_needs_a_longer_timeout() -> None:
    assert configuration_problems(TABLE + 'time_limit = "20s"\ntimeout = "30s"') == []


def test_keys_of_pingap_0_13_9() -> None:
    keys = 'output_types = "avif,webp"\npng_quality = 90\njpeg_quality = 80\navif_quality = 75\n'
    assert configuration_problems(TABLE + keys + "avif_speed = 3") == []
    made = ImageOptim.Settings()
    assert (made.png_quality, made.jpeg_quality, made.avif_quality, made.avif_speed) == (
        90,
        80,
        75,
        3,
    )


@pytest.mark.parametrize("kind", ["avif", "webp"])
def test_a_pillow_without_a_type(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders.features, "check", lambda name: False)
    monkeypatch.setattr(encoders, "find_spec", lambda name: None)
    assert f"this Pillow makes no {'AVIF' if kind == 'avif' else 'WebP'}" in problem(
        f'output_types = "{kind}"'
    )
    monkeypatch.setattr(encoders, "find_spec", lambda name: sys if kind == "avif" else None)
    assert settings.has_avif() == (kind == "avif")


@pytest.mark.parametrize(
    ("keys", "advised"),
    [
        ({"output_types": "webp,avif"}, ["output_types"]),
        ({"output_types": "avif,webp", "avif_speed": 1}, ["avif_speed"]),
        ({"output_types": "avif,webp"}, []),
        ({}, []),
    ],
)
def test_advice(keys: dict[str, object], advised: list[str]) -> None:
    plugin = ImageOptim(ImageOptim.Settings.model_validate(keys))
    assert [key for key, _, _ in plugin.advice()] == advised
    assert plugin.before == ("cache",)
