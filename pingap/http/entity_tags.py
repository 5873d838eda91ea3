"""Entity tags, the validators in ``ETag`` and its conditions (RFC 9110, 8.8.3)."""

from __future__ import annotations

import re
from typing import Final

# The last part may be empty, so that a match never fails and is never tried again further on.
_ENTITY_TAG: Final = re.compile(rb'[\s,]*((?:W/)?"[^"]*"|[^,]*)')


def weak_match(first: bytes, second: bytes) -> bool:
    """Compare entity tags regardless of weakness (RFC 9110, 8.8.3.2)."""
    return first.removeprefix(b"W/") == second.removeprefix(b"W/")


def strong_match(first: bytes, second: bytes) -> bool:
    """Compare entity tags; a weak one equals none (RFC 9110, 8.8.3.2)."""
    return first == second and not first.startswith(b"W/")


def listed_entity_tags(value: bytes) -> list[bytes]:
    """Return the entity tags of ``If-None-Match`` (RFC 9110, 13.1.2), as they stand.

    Without quotes, which is an error, a tag ends at the next comma.
    """
    return [tag.rstrip(b" \t") for tag in _ENTITY_TAG.findall(value) if tag]
