"""The description of a key is the docstring of its field."""

from __future__ import annotations

import pytest
from pydantic import Field

from pingap import Duration, PluginSettings


class Base(PluginSettings):
    inherited: int = 1
    """From the base.

    In several lines.
    """


class Inner(PluginSettings):
    deep: bool = False
    """Inside."""


class Settings(Base):
    plain: str
    """What it is."""
    bare: int = 0
    described: int = Field(0, description="Said explicitly.")
    """Ignored."""
    wait: Duration = 1.0
    """More than that it is a duration."""
    from_: str = Field("", alias="from")
    """Under another name."""
    secret: int = Field(0, exclude=True)
    """Read, never written."""
    inner: Inner = Inner()


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_descriptions(mode: str) -> None:
    schema = Settings.model_json_schema(mode=mode)  # type: ignore[arg-type]
    described = {key: one.get("description") for key, one in schema["properties"].items()}
    secret = {"secret": "Read, never written."} if mode == "validation" else {}
    assert described == secret | {
        "inherited": "From the base.\n\nIn several lines.",
        "plain": "What it is.",
        "bare": None,
        "described": "Said explicitly.",
        "wait": "More than that it is a duration.",
        "from": "Under another name.",
        "inner": None,
    }
    assert schema["$defs"]["Inner"]["properties"]["deep"]["description"] == "Inside."


def test_a_class_in_a_function() -> None:
    class Settings(PluginSettings):
        here: int = 0
        """In a function."""

    assert Settings.model_json_schema()["properties"]["here"]["description"] == "In a function."


def test_a_class_without_source() -> None:
    names: dict[str, type[PluginSettings]] = {"PluginSettings": PluginSettings}
    exec("class Settings(PluginSettings):\n    key: int = 0\n    'Lost.'\n", names)
    assert "description" not in names["Settings"].model_json_schema()["properties"]["key"]
