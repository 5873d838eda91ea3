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
    found: dict[str, None] = {}
    if (listed := headers.get("cache-tag")) is not None:
        found.update(dict.fromkeys(tag.strip() for tag in listed.split(",")))
    for line in headers.get_all("surrogate-key"):
        found.update(dict.fromkeys(line.split()))
    return tuple(tag for tag in found if 0 < len(tag) <= LONGEST)[:MOST]
