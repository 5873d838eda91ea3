"""The parts of the location of a configuration, the value of ``-c``."""

from __future__ import annotations

import hashlib
import os
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


def absolute_location(location: str) -> str:
    """Return a location that means the same in every directory; a path without its parameters."""
    if not location or scheme_of(location) not in ("", "file"):
        return location
    return os.path.abspath(location.removeprefix("file://").partition("?")[0])  # noqa: PTH100


def location_id(location: str) -> str:
    """Return what identifies a location without showing it, because it may contain a password."""
    return hashlib.sha256(absolute_location(location).encode()).hexdigest()
