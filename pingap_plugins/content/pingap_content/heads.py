"""Header fields of responses whose content is changed on the way. Nothing here does IO."""

from __future__ import annotations

import re
from typing import Final

from pingap import Headers

_OF_OTHER_BYTES: Final = (
    b"content-length",
    b"content-md5",
    b"digest",  # RFC 3230: of the representation as it is coded
    b"content-digest",  # RFC 9530, as the next
    b"repr-digest",
)
_ENTITY_TAG: Final = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"')


def is_coded(headers: Headers) -> bool:
    """Return whether a content coding was applied (RFC 9110, 8.4)."""
    value = headers.find(b"content-encoding")
    return value is not None and value.strip().lower() not in (b"", b"identity")


def weaken_etag(headers: Headers) -> None:
    """Make a strong entity tag weak: it was that of other bytes (RFC 9110, 8.8.1)."""
    tag = headers.get("etag")
    if tag is not None and tag.startswith('"'):
        headers.set("ETag", f"W/{tag}")


def drop_digests(fields: Headers) -> None:
    """Drop what was computed of other bytes, from a head or from trailers."""
    for key in _OF_OTHER_BYTES:
        fields.discard(key)


def become_other(headers: Headers) -> None:
    """Change the head of a response whose body will consist of other bytes."""
    drop_digests(headers)
    headers.discard(b"accept-ranges")
    weaken_etag(headers)


def weaken_etag_of_304(headers: Headers, if_none_match: str | None) -> None:
    """Make the tag of a 304 weak, unless the client has the strong one.

    Then it has what was not changed. Otherwise it, or a cache in front of the upstream, has the weak
    tag, and looks for that.
    """
    tag = headers.get("etag")
    if tag is None or tag not in _strong_tags(if_none_match or ""):
        weaken_etag(headers)


def _strong_tags(text: str) -> set[str]:
    return {match[0] for match in _ENTITY_TAG.finditer(text) if match[1] is None}
