"""Write the generated parts of the manual: settings, hooks and limits, read from the code.

A page holds ``<!-- generated: NAME -->`` and ``<!-- end generated -->``; what stands between them is
replaced. Everything else on a page is written by people.

    python docs/generate.py            write
    python docs/generate.py --check    change nothing; exit 1 and name the pages that are out of date
"""

from __future__ import annotations

import inspect
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from subprocess import run
from tempfile import TemporaryDirectory
from typing import Any

from limit_tables import limits
from markdown_table import Row, table
from pydantic import BaseModel

from pingap import hookspecs
from pingap.build.registry import installed_registry
from pingap.config import (
    SECTIONS,
    TEMPLATE,
    BasicConfig,
    restart,
)
from pingap.config.variables import PREFIXES, VARIABLES
from pingap.hookspecs import PHASES
from pingap.http.network_sets import NAMED
from pingap.plugins import kinds
from pingap.plugins.base import Plugin

DOCS = Path(__file__).parent

_BLOCK = re.compile(r"(<!-- generated: ([a-z_ -]+) -->\n).*?(<!-- end generated -->)", re.DOTALL)
_SETTINGS_OF = "settings of "
_ROLE = re.compile(r":[a-z]+:`(?:~?[\w.]*\.)?([\w]+)`")
_FIELD = re.compile(r":(?:param (?P<name>\w+)|returns|raises (?P<error>\w+)): (?P<text>.*)")

# Settings.

_KINDS = {
    "pingap-duration": "duration",
    "pingap-size": "size",
    "pingap-secret": "secret",
    "pingap-regex": "regular expression",
    "pingap-network": "network",
    "pingap-header": "header",
    "pingap-template": "text with variables",
    "pingap-upstream": "upstream name",
    "pingap-file": "file",
    "pingap-directory": "directory",
}
"""The ``format`` of a setting's JSON schema -> words."""


def settings_tables(model: type[BaseModel], skip: tuple[str, ...] = ()) -> str:
    """Return the keys of a table of the configuration: supported, without effect, not supported."""
    schema = model.model_json_schema(mode="serialization")
    required = schema.get("required", [])
    supported: list[Row] = []
    without_effect: list[Row] = []
    missing: list[Row] = []
    for key, one in schema.get("properties", {}).items():
        if key in skip:
            continue
        kind = type_words(one, schema.get("$defs", {}))
        text = markdown(one.get("description", "").replace("\n", " "))
        if "not_yet" in one:
            missing.append((f"`{key}`", kind, text, one["not_yet"]))
        elif "no_effect" in one:
            without_effect.append((f"`{key}`", kind, text, one["no_effect"]))
        else:
            default = "**required**" if key in required else default_words(one.get("default"))
            supported.append((f"`{key}`", kind, default, text))
    pages = [table(("Key", "Type", "Default", "Meaning"), supported)] if supported else []
    if without_effect:
        pages.append(
            "Accepted with a warning:\n\n"
            + table(("Key", "Type", "In pingap 0.13.9", "Here"), without_effect)
        )
    if missing:
        pages.append(
            "Not supported yet; setting one of these is an error:\n\n"
            + table(("Key", "Type", "Meaning", "Needs"), missing)
        )
    return "\n".join(pages) or "No settings.\n"


def type_words(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Say in words what a JSON schema allows."""
    if "$ref" in schema:
        return type_words(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if (kind := schema.get("format", "")) in _KINDS:
        return _KINDS[kind]
    if "enum" in schema or "const" in schema:
        return " or ".join(
            f"`{word}`" if word else "`false`"
            for word in schema.get("enum", [schema.get("const")])
            if word or word is False
        )
    if "anyOf" in schema:
        kinds = [type_words(one, definitions) for one in schema["anyOf"]]
        return " or ".join(kind for kind in dict.fromkeys(kinds) if kind != "null")
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"array of {type_words(schema.get('items', {}), definitions)}s"
    return {"object": "table"}.get(kind, kind) + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if high is not None:
        return f" {low or 0} to {high}"
    return f" from {low}" if low else ""


def default_words(default: object) -> str:
    """Write a default as TOML does; nothing if absent, empty or none at all."""
    if default in (None, "", [], {}):
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, list):
        return "`[" + ", ".join(f'"{one}"' for one in default) + "]`"
    return f"`{default}`" if isinstance(default, int | float) else f'`"{default}"`'


def plugin_settings() -> str:
    """Return a section for each category of the installed distributions."""
    registry = installed_registry()
    pages = []
    for category in registry.names(kinds.CATEGORY):
        cls = registry.find(kinds.CATEGORY, category)
        pages.append(f"### `{category}`\n\n{_about(cls)}\n\n{settings_tables(cls.Settings)}")
    for kind in kinds.CLAIMS.values():
        told: set[type[Plugin]] = set()
        for key, distribution in sorted(registry.owners(kind).items()):
            cls = registry.find(kind, key)
            if cls in told:
                continue  # one class behind several keys: the first key has the table of all
            told.add(cls)
            pages.append(
                f"### The {kind.label} `{key}`\n\nClaimed by {distribution}. {_about(cls)}\n\n"
                + settings_tables(cls.Settings)
            )
    return "\n".join(pages) or "No plugin distribution is installed.\n"


def settings_of(category: str) -> str:
    """Return the settings of one category, or of a ``location key`` or ``certificate key``, for its page."""
    kind: kinds.Kind[type[Plugin]] = kinds.CATEGORY
    for other in (kinds.LOCATION_KEY, kinds.CERTIFICATE_SOURCE):
        if category.startswith(label := f"{other.label} "):
            kind, category = other, category.removeprefix(label)  # type: ignore[assignment]
    cls: type[Plugin] = installed_registry().find(kind, category)
    return settings_tables(cls.Settings)


def _about(cls: type[Plugin]) -> str:
    text = markdown(inspect.getdoc(cls) or "")
    phases = [f"`{phase}`" for phase in PHASES if hasattr(cls, phase)]
    facts = [f"Phases: {', '.join(phases)}."] if phases else []
    if cls.steps:
        steps = " or ".join(f"`{step}`" for step in cls.steps)
        facts.append(f"`step` chooses {steps}; the first is the default.")
    return f"{text}\n\n{' '.join(facts)}".rstrip()


# Hooks.


def hooks(names: Iterable[str]) -> str:
    """Return a section for each hook: its signature and its docstring."""
    return "\n".join(_hook(name) for name in names)


def _hook(name: str) -> str:
    function = getattr(hookspecs, name)
    first = "\nThe first plugin that answers ends the phase.\n" if _first_result(function) else ""
    return f"### `{name}`\n\n```python\n{signature(function)}\n```\n{first}\n{docstring(function)}"


def _first_result(function: Callable[..., object]) -> bool:
    return bool(function.pingap_spec["firstresult"])  # type: ignore[attr-defined]  # set by pluggy


def signature(function: Callable[..., object]) -> str:
    """Return the line that an implementation begins with."""
    word = "async def" if inspect.iscoroutinefunction(function) else "def"
    text = str(inspect.signature(function)).replace("'", "")  # annotations are kept as text
    return f"{word} {function.__name__}{text}"


def docstring(function: Callable[..., object]) -> str:
    """Turn a docstring with Sphinx fields into Markdown."""
    body, _, version = (inspect.getdoc(function) or "").partition(".. versionadded::")
    parts: list[str] = []
    rows: list[Row] = []
    for piece in re.split(r"\n\n|\n(?=:)", body):
        words = " ".join(piece.split())
        if match := _FIELD.fullmatch(words):
            rows.append(_field_row(match))
        elif words:
            parts.append(markdown(words))
    if rows:
        parts.append(table(("", ""), rows).rstrip())
    if version.strip():
        parts.append(f"Since {version.strip()}.")
    return "\n\n".join(parts) + "\n"


def _field_row(match: re.Match[str]) -> Row:
    label = f"`{match['name']}`" if match["name"] else "returns"
    if match["error"]:
        label = f"raises `{match['error']}`"
    return label, markdown(match["text"])


def markdown(text: str) -> str:
    """Turn the inline markup of a docstring into Markdown."""
    return _ROLE.sub(r"`\1`", text).replace("``", "`")


# Changes of the configuration.


def _restart_table() -> Iterator[tuple[str, str, str]]:
    """Give table, key and reason, without keys that cannot be set yet."""
    for place, model, reasons in (
        ("basic", BasicConfig, restart.BASIC),
        ("servers.*", SECTIONS["servers"], restart.SERVER),
    ):
        for key, reason in reasons.items():
            if "not_yet" not in (model.model_fields[key].json_schema_extra or ()):
                yield place, key, reason


def variables() -> str:
    """Return the variables of a request."""
    named = ((f"`${name}`", one.about) for name, one in VARIABLES.items())
    prefixed = ((f"`${prefix}<name>`", about) for prefix, (_, about) in PREFIXES.items())
    return table(("Variable", "Value"), [*named, *prefixed])


def named_networks() -> str:
    """Return the names of networks, with their members."""
    rows = ((f"`{name}`", ", ".join(f"`{one}`" for one in NAMED[name])) for name in NAMED)
    return table(("Name", "Networks"), rows)


def restart_keys() -> str:
    """Return the keys whose change needs a restart, with the reason."""
    rows = ((f"`{place}.{key}`", reason) for place, key, reason in _restart_table() if reason)
    return table(("Key", "Why"), rows)


def hot_keys() -> str:
    """Return the keys whose change a running process takes over."""
    lines: dict[str, list[str]] = {}
    for place, key, reason in _restart_table():
        if not reason:
            lines.setdefault(place, []).append(f"`{key}`")
    return "".join(f"- `{place}`: {', '.join(keys)}.\n" for place, keys in lines.items())


# Examples of the commands.


def example(*arguments: str) -> str:
    """Return what a command prints about the configuration that ``tools.md`` shows."""
    page = (DOCS / "tools.md").read_text()
    (shown,) = re.findall(r"^```toml\n# shop\.toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    command = ["pingap", *arguments, "-c", "shop.toml"]
    with TemporaryDirectory() as folder:
        (Path(folder) / "shop.toml").write_text(f"# shop.toml\n{shown}")
        done = run(  # noqa: S603 - ourselves
            [sys.executable, "-m", *command],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    text = done.stdout + done.stderr
    text = re.sub(r"\S*/(?=pingap_\w+/\w+\.py:)", ".../", text)  # where it is installed
    return f"```text\n$ {shlex.join(command)}\n{text}```\n"


def schema_lines() -> str:
    """Return the lines at the top of the template."""
    lines = [line for line in TEMPLATE.splitlines()[:2] if "schema" in line]
    return "```toml\n" + "\n".join(lines) + "\n```\n"


# Pages.

BLOCKS: dict[str, Callable[[], str]] = {
    "basic": lambda: settings_tables(BasicConfig, ("claimed",)),
    **{
        section: lambda model=model: settings_tables(model, ("claimed", "options"))  # type: ignore[misc]
        for section, model in SECTIONS.items()
    },
    "plugin settings": plugin_settings,
    "phases": lambda: hooks(PHASES),
    "application hooks": lambda: hooks(
        name for name in vars(hookspecs) if name.startswith("pingap_")
    ),
    "limits": limits,
    "restart keys": restart_keys,
    "hot keys": hot_keys,
    "example plugins": lambda: example("plugins"),
    "example explain": lambda: example(
        "explain", "GET", "http://shop.example.com:8080/orders/7", "-H", "X-Beta: no"
    ),
    "example lint": lambda: example("lint"),
    "variables": variables,
    "named networks": named_networks,
    "schema lines": schema_lines,
}
"""Name of a block -> what makes its text."""


def filled(page: str) -> str:
    """Return a page with its blocks made anew."""
    return _BLOCK.sub(lambda block: f"{block[1]}\n{_text_of(block[2])}\n{block[3]}", page)


def _text_of(name: str) -> str:
    if name.startswith(_SETTINGS_OF):
        return settings_of(name.removeprefix(_SETTINGS_OF))
    return BLOCKS[name]()


def stale_pages() -> dict[Path, str]:
    """Return the pages that are out of date, with what they should be."""
    pages = {path: path.read_text() for path in sorted(DOCS.rglob("*.md"))}
    return {path: new for path, old in pages.items() if (new := filled(old)) != old}


def main(arguments: list[str]) -> int:
    """Write, or check; return the exit code."""
    stale = stale_pages()
    if arguments == ["--check"]:
        for path in stale:
            print(f"{path.name} is out of date: run `make docs`", file=sys.stderr)  # noqa: T201
        return 1 if stale else 0
    for path, text in stale.items():
        path.write_text(text)
        print(f"wrote {path.name}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
