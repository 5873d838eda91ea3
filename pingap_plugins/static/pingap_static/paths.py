"""From the path of a request to the names of a file: bytes, in any encoding. Nothing here does IO."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote_to_bytes

Names = tuple[bytes, ...]
"""The names from the root to a file, none of them empty, ``.`` or ``..``."""

_WELL_KNOWN: Final = b".well-known"  # RFC 8615: meant to be public


class NoSuchPath(ValueError):
    """No file can have this path."""


class OutsideOfRoot(ValueError):
    """The path leaves the root."""


def names_of(path: str) -> Names:
    """Return the names in a path.

    Paths are normalised before plugins see them, unless the server matches them raw: only then dot segments
    are left here.

    :param path: ``request.path``, or a part of it.
    :raises NoSuchPath: a name has a slash or a NUL.
    :raises OutsideOfRoot: ``..`` leads out of the root.
    """
    names: list[bytes] = []
    for segment in path.split("/"):
        # The only escapes left are those of characters with a meaning in URLs, and bytes beyond UTF-8.
        name = unquote_to_bytes(segment) if "%" in segment else segment.encode()
        if b"/" in name or b"\0" in name:
            raise NoSuchPath(path)
        if name == b"..":
            if not names:
                raise OutsideOfRoot(path)
            names.pop()
        elif name not in (b"", b"."):
            names.append(name)
    return tuple(names)


def stripped(path: str, prefix: str) -> str | None:
    """Return a path without a prefix of whole segments; None if it does not begin with it.

    :param prefix: without a slash at its end.
    """
    if not path.startswith(prefix):
        return None
    rest = path[len(prefix) :]
    return rest if not rest or rest[0] == "/" else None


def is_hidden(names: Names) -> bool:
    """Return whether a name begins with a dot, apart from ``/.well-known``."""
    return any(
        name.startswith(b".") and (place or name != _WELL_KNOWN) for place, name in enumerate(names)
    )


def as_link(name: bytes) -> str:
    """Return a name as a relative URL: never one with a scheme, and never one with a host."""
    return "./" + quote(name, safe="")


def as_text(name: bytes) -> str:
    """Return a name for people to read; bytes that are not UTF-8 become U+FFFD."""
    return name.decode("utf-8", "replace")
