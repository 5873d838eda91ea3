"""Tags by which responses are purged: ``Cache-Tag`` and ``Surrogate-Key``."""

from __future__ import annotations

from typing import Final

from pingap import Headers

MOST: Final = 1000
"""Tags of one response; further ones are ignored."""
LONGEST: Final = 1024
"""Characters of a tag; longer ones are ignored."""


def response_tags(headers: Headers) -> tuple[str, ...]:
    """Return the tags of a response, each once, in the order they came.

    Those of ``Cache-Tag`` are divided by commas, those of ``Surrogate-Key`` by white space.
    """
    listed = headers.find(b"cache-tag")
    keys = headers.find_all(b"surrogate-key")
    if listed is None and not keys:
        return ()
    found: dict[str, None] = {}
    if listed is not None:
        found.update(dict.fromkeys(tag.strip() for tag in listed.decode("latin-1").split(",")))
    for line in keys:
        found.update(dict.fromkeys(line.decode("latin-1").split()))
    return tuple(tag for tag in found if 0 < len(tag) <= LONGEST)[:MOST]
