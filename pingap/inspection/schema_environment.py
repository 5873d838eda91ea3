"""Environment variables in the JSON Schema: a text with one may stand where a number or a certain word is expected."""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

NAME: Final = "environment"
"""The name of the definition."""
_PATTERN: Final = r"^\$ENV:|\$\{[A-Z][A-Z0-9_]*(?::-[^{}]*)?\}"
DEFINITION: Final[Schema] = {
    "type": "string",
    "pattern": _PATTERN,
    "description": "An environment variable, whose value is used: $ENV:NAME, or ${NAME} with text around it.",
}
_REFERENCE: Final = {"$ref": f"#/$defs/{NAME}"}
_ABOUT: Final = ("description", "default", "deprecated", "examples", "title", "writeOnly")
_FIXED: Final = ("category", "step")
"""Keys that choose among schemas."""


def with_environment(schema: Schema) -> Schema:
    """Return the schema of a table, whose values may also be texts with environment variables."""
    changed = dict(schema)
    if "properties" in schema:
        keys = schema["properties"].items()
        changed["properties"] = {key: one if key in _FIXED else _value(one) for key, one in keys}
    if isinstance(more := schema.get("additionalProperties"), dict):
        changed["additionalProperties"] = _value(more)
    return changed


def _value(schema: Schema) -> Schema:
    kind = schema.get("type")
    if kind == "array" and isinstance(schema.get("items"), dict):
        return {**schema, "items": _value(schema["items"])}
    if kind == "object":
        return with_environment(schema)
    if "anyOf" in schema:
        inner = [_inside(one) for one in schema["anyOf"]]
        takes_any_text = {"type": "string"} in [_rule(one) for one in inner]
        return {**schema, "anyOf": inner if takes_any_text else [*inner, _REFERENCE]}
    if kind in ("integer", "number", "boolean"):  # the pattern applies to text only
        return {**schema, "type": [kind, "string"], "pattern": _PATTERN}
    if "pattern" in schema:
        return {**schema, "pattern": f"(?:{schema['pattern']})|{_PATTERN}"}
    if "enum" in schema or "const" in schema:
        words = {key: schema[key] for key in ("enum", "const", "type") if key in schema}
        rest = {key: value for key, value in schema.items() if key not in words}
        return {**rest, "if": _REFERENCE, "else": words}
    return schema


def _inside(schema: Schema) -> Schema:
    """Return an alternative: the variables in its elements, not in itself."""
    return _value(schema) if schema.get("type") in ("array", "object") else schema


def _rule(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key not in (*_ABOUT, "format")}
