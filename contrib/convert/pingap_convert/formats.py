"""Reads and writes the formats of pingap itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import tomli
import tomli_w
from pingap_formats.hcl_writer import write_hcl
from pingap_formats.hooks import HCL, KDL
from pingap_formats.kdl_writer import write_kdl

from pingap import FormatError
from pingap_convert.result import ConversionError, Place, Result


def write_toml(tables: dict[str, Any]) -> str:
    """Return tables as TOML."""
    return tomli_w.dumps(tables, multiline_strings=False)


WRITERS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "toml": write_toml,
    "hcl": write_hcl,
    "kdl": write_kdl,
}
"""Format -> function that writes it; raises ``ValueError`` for a value without a form in it."""


def read_own(path: Path, form: str, result: Result) -> None:
    """Add the tables of a file.

    :param form: ``toml``, ``hcl`` or ``kdl``.
    :raises ConversionError: it is not valid, or a table is there twice.
    """
    text = read_text(path)
    try:
        tables = tomli.loads(text) if form == "toml" else {"hcl": HCL, "kdl": KDL}[form].parse(text)
    except tomli.TOMLDecodeError as error:
        raise ConversionError(f"{path}: is not valid TOML: {error}") from None
    except FormatError as error:
        raise ConversionError(f"{path}:{error.line}: {error.message}") from None
    for section, items in tables.items():
        if not isinstance(items, dict):
            result.leave_out(Place(str(path), 1), section, "it is in no table")
            continue
        known = result.tables.setdefault(section, {})
        if twice := known.keys() & items.keys():
            raise ConversionError(f"{path}: {section}.{min(twice)} is defined twice")
        known.update(items)


def read_text(path: Path) -> str:
    """Return the text of a file.

    :raises ConversionError: it cannot be read.
    """
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConversionError(f"{path}: is not UTF-8 text") from None
