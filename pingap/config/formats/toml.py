"""TOML as a format of configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import tomli

from pingap.config.formats.interface import ConfigFormat, FormatError
from pingap.config.positions import key_lines
from pingap.config.problem import KeyPath

_PLACE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


class TomlFormat(ConfigFormat):
    """TOML 1.0."""

    def parse(self, text: str) -> dict[str, Any]:
        """Return the tables of a text.

        :raises FormatError: it is not valid TOML.
        """
        try:
            return tomli.loads(text)
        except ValueError as error:
            raise FormatError(*_mistake(error, text)) from None
        except RecursionError:
            raise FormatError("is not valid TOML: nested too deeply") from None

    def key_lines(self, text: str) -> Mapping[KeyPath, int]:
        """Return the line of each key."""
        return key_lines(text)


TOML: Final = TomlFormat()


def _mistake(error: ValueError, text: str) -> tuple[str, int]:
    """Return the message and the line of a TOML syntax error; line 1 if tomli does not give it.

    :param error: the exception of ``tomli.loads``, a plain ``ValueError`` for a number that is too long.
    :param text: the parsed text.
    """
    if not isinstance(error, tomli.TOMLDecodeError):
        return "is not valid TOML: a number is too long", 1
    message = str(error)
    place = _PLACE.search(message)
    if place is None or place[1] is None:
        line, where = text.rstrip().count("\n") + 1, " at the end of the text"
    else:
        line, where = int(place[1]), f" at column {place[2]}"
    reason = _PLACE.sub("", message)
    return f"is not valid TOML: {reason[:1].lower()}{reason[1:]}{where}", line
