"""Content types by the extension of a name. Nothing here does IO, except for reading the system's table once."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from functools import cache
from typing import Final

UNKNOWN: Final = "application/octet-stream"
"""The type of everything else."""

# What tables of systems lack, or have wrong, and browsers insist on.
_OWN: Final = {
    ".avif": "image/avif",
    ".br": "application/x-brotli",
    ".bz2": "application/x-bzip2",
    ".gz": "application/gzip",
    ".htm": "text/html",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".tgz": "application/gzip",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xz": "application/x-xz",
    ".zst": "application/zstd",
}


@cache
def system_types() -> Mapping[str, str]:
    """Return the types of Python and of the system's ``mime.types``, by extension with its dot."""
    table = mimetypes.MimeTypes()
    for path in mimetypes.knownfiles:
        try:
            table.read(path)
        except OSError:
            continue  # most systems have one of these files, or none
    return {**table.types_map[True], **_OWN}


class MediaTypes:
    """Which type a file has.

    :param own: types by extension, with or without its dot; they take precedence.
    :param charset: appended to the types of text; empty for none.
    """

    def __init__(self, own: Mapping[str, str], charset: str = "") -> None:
        added = {f".{name.removeprefix('.').lower()}": value for name, value in own.items()}
        self._types = {**system_types(), **added}
        self._charset = charset

    def of(self, name: bytes) -> str:
        """Return the type of a file by its name."""
        dot = name.rfind(b".")
        extension = name[dot:].lower().decode("latin-1") if dot > 0 else ""
        found = self._types.get(extension, UNKNOWN)
        if self._charset and found.startswith("text/") and ";" not in found:
            return f"{found}; charset={self._charset}"
        return found
