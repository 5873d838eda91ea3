"""Keys of the configuration, as the tables of limits show them."""

from __future__ import annotations

from pingap.config import (
    SECTIONS,
    BasicConfig,
)


def key_of(section: str, key: str) -> tuple[str, str]:
    """Return the default and the name of a key, as they stand in the table."""
    model = BasicConfig if section == "basic" else SECTIONS[section]
    one = model.model_json_schema(mode="serialization")["properties"][key]
    default = one.get("default")
    text = "none" if default in (None, 0, "0B") else str(default)
    return text, f"`{section}.{key}`" if section == "basic" else f"`{section}.*.{key}`"
