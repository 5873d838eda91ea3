"""Fills in the template as cookiecutter would, with the small part of Jinja that the template uses.

- ``{{ cookiecutter.key }}``, in files and their paths, stands for a value.
- ``{% if cookiecutter.key %}``, ``{% if cookiecutter.key or cookiecutter.other %}``, ``{% else %}`` and
  ``{% endif %}`` each have a line of their own.

Anything else between such braces is an error, so that the template stays this simple.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

Values = Mapping[str, str | bool]

ROOT: Final = "{{cookiecutter.__distribution}}"
"""The folder of the template that becomes the distribution."""

_PLACEHOLDER: Final = re.compile(r"{{ ?cookiecutter\.(\w+) ?}}")
_IF: Final = re.compile(r"{% if (cookiecutter\.\w+(?: or cookiecutter\.\w+)*) %}")


class TemplateError(Exception):
    """The template contains Jinja syntax that is not supported here."""


def template_folder() -> Path:
    """Return the path of the template: in the wheel, or beside the package in a working copy."""
    package = Path(__file__).parents[2]
    shipped = package / "_template"
    return shipped if shipped.is_dir() else package.parent / "plugin-template"


def render(template: Path, values: Values) -> dict[str, str]:
    """Return the files of a distribution: path -> text.

    :raises TemplateError: a line that cannot be filled in.
    """
    settings = json.loads((template / "cookiecutter.json").read_text(encoding="utf-8"))
    as_they_are = settings["_copy_without_render"]
    files = {}
    for file in sorted((template / ROOT).rglob("*")):
        path = file.relative_to(template / ROOT).as_posix()
        # pip compiles the files it installs, including the template.
        if file.is_file() and "__pycache__" not in path:
            text = file.read_text(encoding="utf-8")
            if not any(fnmatch(path, pattern) for pattern in as_they_are):
                text = render_text(text, values, path)
            files[_fill(path, values, path)] = text
    return files


def render_text(text: str, values: Values, path: str) -> str:
    """Fill in one file.

    :param path: of the file, for errors.
    """
    lines = []
    kept = [True]
    """Whether lines are kept, for each ``if`` around them."""
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        place, tag = f"{path}:{number}", line.strip()
        if match := _IF.fullmatch(tag):
            keys = match[1].replace("cookiecutter.", "").split(" or ")
            kept.append(any(_value(values, key, place) for key in keys))
        elif tag == "{% else %}" and len(kept) > 1:
            kept[-1] = not kept[-1]
        elif tag == "{% endif %}" and len(kept) > 1:
            kept.pop()
        elif all(kept):
            lines.append(_fill(line, values, place))
    if len(kept) > 1:
        raise TemplateError(f"{path}: an if without endif")
    return "".join(lines)


def _fill(text: str, values: Values, place: str) -> str:
    if left := re.search(r"{[{%#].*", _PLACEHOLDER.sub("", text)):
        raise TemplateError(f"{place}: only Jinja understands {left[0]!r}")
    return _PLACEHOLDER.sub(lambda match: str(_value(values, match[1], place)), text)


def _value(values: Values, key: str, place: str) -> str | bool:
    if key not in values:
        raise TemplateError(f"{place}: there is no value {key!r}")
    return values[key]
