"""The parts of the location of a configuration, the value of ``-c``."""

from __future__ import annotations

import re
from typing import Final

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def scheme_of(location: str) -> str:
    """Return the scheme of a location in lower case; empty for a path."""
    found = _SCHEME.match(location)
    return found[1].lower() if found else ""


def is_set(query: str, name: str) -> bool:
    """Return whether a parameter of a location is set: ``separation``, or with any value but false."""
    pairs = (part.partition("=") for part in query.split("&"))
    return any(key == name and value != "false" for key, _, value in pairs)
