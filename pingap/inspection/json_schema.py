"""The JSON Schema of the whole configuration, made from the models that validate it.

Editors complete and check TOML with it. It rejects what loading rejects, as far as a schema can: it does not
know which names exist, nor the syntax of a regex or a header. It accepts everything that loading accepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from pingap.config import SECTIONS, BasicConfig, PluginConfig
from pingap.config.includes import SECTIONS_WITH_INCLUDES
from pingap.config.model import Claimable, Model
from pingap.config.supported import SAMPLE_ONLY
from pingap.inspection.schema_environment import DEFINITION, NAME, with_environment
from pingap.plugins import kinds
from pingap.plugins.base import Plugin
from pingap.plugins.kinds import Kind
from pingap.plugins.local import CATEGORY
from pingap.plugins.registry import MissingPluginError, PluginLoadError, Registry

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_OUR_FIELDS = {**dict.fromkeys(kinds.CLAIMS, ("claimed",)), "plugins": ("options",)}
"""Fields of the models that are not keys."""


def json_schema(registry: Registry) -> tuple[Schema, list[str]]:
    """Return the schema, with the settings of every installed plugin.

    :returns: the schema, and a message for each plugin that cannot be loaded. The schema does not check the
        settings of those.
    """
    builder = _Builder(registry)
    return builder.build(), builder.failures


class _Builder:
    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.definitions: dict[str, Schema] = {}
        self.failures: list[str] = []

    def build(self) -> Schema:
        properties: Schema = {"basic": self._table("basic", BasicConfig)}
        for section, model in SECTIONS.items():
            self.definitions[section] = (
                self._plugins() if section == "plugins" else self._item(section, model)
            )
            reference = {"$ref": f"#/$defs/{section}"}
            properties[section] = {"type": "object", "additionalProperties": reference}
        properties["basic"] = with_environment(properties["basic"])
        self.definitions = {name: with_environment(one) for name, one in self.definitions.items()}
        self.definitions[NAME] = DEFINITION
        return {
            "$schema": DIALECT,
            "title": "Configuration of pingap",
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            "$defs": self.definitions,
        }

    def _table(self, section: str, model: type[BaseModel]) -> Schema:
        schema = self._model(section, model)
        for key, why in SAMPLE_ONLY.get(section, {}).items():
            schema["properties"][key] = {"description": f"{key} {why}.", "deprecated": True}
        if issubclass(model, Model):
            for written, key in model.SYNONYMS.items():
                same = {**schema["properties"][key], "description": f"Another name of `{key}`."}
                schema["properties"][written] = same
        if issubclass(model, Claimable):
            self._add_claimed_keys(section, model, schema["properties"])
        return schema

    def _item(self, section: str, model: type[BaseModel]) -> Schema:
        schema = self._table(section, model)
        if section == "upstreams":
            words = sorted(["", *self.registry.names(kinds.DISCOVERY), "transparent"])
            schema["properties"]["discovery"]["enum"] = words
        if section in SECTIONS_WITH_INCLUDES and (required := schema.pop("required", None)):
            # An included storage may provide the required keys.
            schema["anyOf"] = [{"required": required}, {"required": ["includes"]}]
        return schema

    def _add_claimed_keys(self, section: str, model: type[Claimable], properties: Schema) -> None:
        kind = kinds.CLAIMS[section]
        for key, distribution in kind.ours.items():
            absent = f"Needs the distribution {distribution}."
            properties[key] = {"enum": [False, ""], "description": absent}
        self._add_keys(kind, section, model, properties)
        if section == "certificates":
            self._add_keys(kinds.CERTIFICATE_SOURCE, section, model, properties)

    def _add_keys(
        self, kind: Kind[Any], section: str, model: type[Claimable], properties: Schema
    ) -> None:
        for key in self.registry.names(kind):
            if model.owns(key):
                continue
            properties[key] = {}
            try:
                cls = self.registry.find(kind, key)
            except (MissingPluginError, PluginLoadError) as error:
                self.failures.append(f"{kind.label} {key}: {error}")
                continue
            settings = self._model(f"{section}.{key}", cls.Settings)
            properties[key] = settings["properties"].get(key, {})

    # Plugins.

    def _plugins(self) -> Schema:
        """Return the schema of a plugin: its category chooses the settings.

        The choice is made by ``if``, so that an error is about the selected category alone. ``anyOf`` checks
        nothing, because its last entry is always true, but editors that do not evaluate ``if`` find the keys
        there for completion.
        """
        own = self._model("plugins", PluginConfig)
        classes = self._classes()
        settings = {}
        for category, cls in classes.items():
            name = f"plugins.{category}"
            self.definitions[name] = self._plugin(name, cls, own["properties"])
            settings[category] = {"$ref": f"#/$defs/{name}"}
        known = sorted([*self.registry.names(kinds.CATEGORY), CATEGORY])
        properties = {**own["properties"]}
        properties["category"] = {**properties["category"], "enum": known}
        return {
            "type": "object",
            "description": own.get("description", ""),
            "properties": properties,
            "required": own["required"],
            "allOf": [{}, *(_when(category, then) for category, then in settings.items())],
            "anyOf": [*settings.values(), {}],
        }

    def _classes(self) -> Mapping[str, type[Plugin]]:
        classes = {}
        for category in self.registry.names(kinds.CATEGORY):
            try:
                classes[category] = self.registry.find(kinds.CATEGORY, category)
            except (MissingPluginError, PluginLoadError) as error:
                self.failures.append(f"category {category}: {error}")
        return classes

    def _plugin(self, name: str, cls: type[Plugin], own: Schema) -> Schema:
        schema = self._model(name, cls.Settings)
        category = {"const": cls.category, "description": _first_paragraph(cls)}
        step = {"enum": ["", *cls.steps]} if cls.steps else {"deprecated": True}
        schema["properties"] = {
            **own,
            "category": {**own["category"], **category},
            "step": {**own["step"], **step},
            **schema["properties"],
        }
        return schema

    # Models.

    def _model(self, name: str, model: type[BaseModel]) -> Schema:
        """Return the schema of a table; referenced schemas are added to the definitions.

        :param name: prefix for their names, which are only unique within a model.
        """
        schema = _of_model(name, model, "validation")
        written = _of_model(name, model, "serialization").get("properties", {})
        for key, nested in schema.pop("$defs", {}).items():
            self.definitions[f"{name}.{key}"] = _tidy(nested)
        properties = {
            key: _key(_with_written_default(one, written.get(key, {})), key)
            for key, one in schema.get("properties", {}).items()
            if key not in _OUR_FIELDS.get(name, ())
        }
        schema.pop("title", None)
        return {**schema, "properties": properties}


def _of_model(name: str, model: type[BaseModel], mode: Any) -> Schema:
    return model.model_json_schema(mode=mode, ref_template=f"#/$defs/{name}.{{model}}")


def _with_written_default(schema: Schema, written: Schema) -> Schema:
    """Use the default as written in TOML: a duration is text there, and a number in Python."""
    rest = {key: value for key, value in schema.items() if key != "default"}
    default = written.get("default")
    return rest if default is None else {**rest, "default": default}


def _key(schema: Schema, key: str) -> Schema:
    """Describe a key that is not supported or has no effect as such."""
    description = schema.get("description", key)
    if "not_yet" in schema:  # any value: loading decides which values mean the same as no key
        text = f"{description} Not supported yet ({schema['not_yet']})."
        return {"description": text, "deprecated": True}
    schema = _tidy(schema)
    if "no_effect" in schema:
        why = schema.pop("no_effect")
        return {**schema, "description": f"{description} {key} {why}.", "deprecated": True}
    return schema


def _tidy(schema: Any) -> Any:
    """Remove null, which TOML does not have, and the titles that pydantic derives from names."""
    if isinstance(schema, list):
        return [_tidy(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {
        key: {name: _tidy(one) for name, one in value.items()}
        if key == "properties"
        else _tidy(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
        and not (key == "default" and value is None)
    }
    kinds = [one for one in tidy.get("anyOf", ()) if one != {"type": "null"}]
    if kinds:
        del tidy["anyOf"]
        tidy = {**kinds[0], **tidy} if len(kinds) == 1 else {**tidy, "anyOf": kinds}
    return tidy


def _when(category: str, then: Schema) -> Schema:
    condition = {"properties": {"category": {"const": category}}, "required": ["category"]}
    return {"if": condition, "then": then}


def _first_paragraph(cls: type[Plugin]) -> str:
    return " ".join((cls.__doc__ or "").partition("\n\n")[0].split())
